select key, value from positions where scope = $1
