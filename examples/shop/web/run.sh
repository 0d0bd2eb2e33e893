#!/bin/sh
# Starts nginx for one replica, in the directory it was unpacked to. Everything nginx writes stays in here, so any
# number of replicas share a box, and root is not needed.
set -eu
: "${HOST:?}" "${PORT:?}" "${HOMEOSTAT_DOOR:?}"
here=$(pwd)
mkdir -p run

# Workers keep the user that starts nginx; without this line, root's workers would become nobody and lose the files.
user=""
[ "$(id -u)" -ne 0 ] || user="user root;"

case "$HOST" in
  *:*) listen="[$HOST]:$PORT" ;;
  *) listen="$HOST:$PORT" ;;
esac
sed -e "s|@USER@|$user|" -e "s|@HERE@|$here|g" -e "s|@LISTEN@|$listen|" -e "s|@DOOR@|${HOMEOSTAT_DOOR%/}|" \
  -e "s|@REPLICA@|${HOMEOSTAT_REPLICA:-web}|" -e "s|@NODE@|${HOMEOSTAT_NODE:-unknown}|" nginx.conf.in >run/nginx.conf
PATH="$PATH:/usr/sbin:/sbin"
exec nginx -p "$here/run/" -e stderr -c "$here/run/nginx.conf"
