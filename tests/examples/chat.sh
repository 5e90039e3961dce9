# SPDX-License-Identifier: Apache-2.0
# chat by ncat: three members, a line to all others, a member that does not read, Ctrl-C.
. "$(dirname "$0")/lib.sh"
need ncat

"$bin/chat" -help > usage.log 2>&1 && fail "-help is no address"
grep -q '^usage: ' usage.log || fail "no usage message"

serve server "$bin/chat" 127.0.0.1:0
server=$pid port=${address##*:}

talk anna
exec 3> anna.in
echo anna >&3
eventually grep -q '^\* anna joins$' anna.log
talk bert
exec 4> bert.in
echo bert >&4
eventually grep -q '^\* bert joins$' anna.log
talk carl
exec 5> carl.in
echo carl >&5
for name in anna bert carl; do eventually grep -q '^\* carl joins$' $name.log; done

echo 'good morning' >&3
eventually grep -q '^anna: good morning$' bert.log
eventually grep -q '^anna: good morning$' carl.log
grep -q 'good morning' anna.log && fail "anna hears herself"
echo 'and to you' >&4
eventually grep -q '^bert: and to you$' anna.log

exec 5>&-
eventually grep -q '^\* carl leaves$' anna.log

# dora reads nothing: nobody empties the pipe that her ncat writes to. Anna talks on until dora is
# dropped, slowly enough for all others.
mkfifo dora.in dora.out
sleep 600 < dora.out &
servers="$servers $!"
ncat 127.0.0.1 "$port" < dora.in > dora.out &
servers="$servers $!"
exec 6> dora.in
echo dora >&6
eventually grep -q '^\* dora joins$' anna.log
line=$(printf '%0250d' 0)
for i in 1 2 3 4 5 6 7 8; do echo "$line$line"; done > block
for i in 1 2 3 4; do cat block block block block > more && mv more block; done
talk_on() {
    grep -q '^\* dora was too slow$' anna.log || { cat block >&3; false; }
}
eventually talk_on
echo 'the end of it' >&3
eventually grep -q '^anna: the end of it$' bert.log

talk erik
exec 7> erik.in
echo erik >&7
eventually grep -q '^\* erik joins$' anna.log
echo 'welcome' >&3
eventually grep -q '^anna: welcome$' erik.log

# Ctrl-C: all leave, which the last of them reads; all connections end, and so do the clients.
stop INT "$server" 0
eventually sh -c 'cat anna.log bert.log erik.log | grep -Eq "^\* (anna|bert|erik) leaves$"'
