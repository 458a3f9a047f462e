update installation set link_key = coalesce(link_key, $1) returning link_key
