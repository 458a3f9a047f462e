select trim_audit($1, $2)
