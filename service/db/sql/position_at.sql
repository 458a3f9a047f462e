select value from positions where scope = $1 and key = $2
