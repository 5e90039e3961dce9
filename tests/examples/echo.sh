# SPDX-License-Identifier: Apache-2.0
# echo by ncat: over TCP and a Unix socket, many at a time, more than a buffer, Ctrl-C with a client.
. "$(dirname "$0")/lib.sh"
need ncat

"$bin/echo" -help > usage.log 2>&1 && fail "-help is no address"
grep -q '^usage: ' usage.log || fail "no usage message"
"$bin/echo" 127.0.0.1:nonsense > bad.log 2>&1 && fail "listens on nonsense"
grep -q '^echo: 127.0.0.1:nonsense: ' bad.log || fail "no message for a bad address"

serve tcp "$bin/echo" 127.0.0.1:0
server=$pid port=${address##*:}
"$bin/echo" "$address" > taken.log 2>&1 && fail "listens on a port that is taken"
grep -q 'Address already in use' taken.log || fail "no message for a port that is taken"

echo hello | ncat 127.0.0.1 "$port" > out
[ "$(cat out)" = hello ] || fail "it answered: $(cat out)"

# ncat shuts its sending side down at the end of its input: all of it must come back.
head -c 3000000 /dev/urandom > data
ncat 127.0.0.1 "$port" < data > out
cmp data out

clients=
for i in 1 2 3 4 5 6 7 8; do
    head -c $((i * 40000)) data | ncat 127.0.0.1 "$port" > "out.$i" &
    clients="$clients $!"
done
for c in $clients; do wait "$c"; done
for i in 1 2 3 4 5 6 7 8; do head -c $((i * 40000)) data | cmp - "out.$i"; done

# Ctrl-C while a client is idle: its connection is closed, the server ends well.
talk idle
exec 3> idle.in
echo hello >&3
eventually grep -q hello idle.log
stop INT "$server" 0
grep -q '^[0-9]* bytes on 1[0-9] connections$' tcp.log || fail "no summary"

serve unix "$bin/echo" "$scratch/sock"
echo hello | ncat -U "$scratch/sock" > out
[ "$(cat out)" = hello ] || fail "over a Unix socket it answered: $(cat out)"
stop TERM "$pid" 0
