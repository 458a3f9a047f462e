select count(*) as runs from fates where removing
