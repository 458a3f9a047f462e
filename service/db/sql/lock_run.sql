select state, epoch from runs where id = $1 for no key update
