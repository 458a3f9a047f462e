-- Daemons that live and do not know a migration that they must know.
select id, host, pid from daemons where state = 'alive' and knows < $1 order by id
