# SPDX-License-Identifier: Apache-2.0
# proxy by curl, ncat and wrk: plain requests, tunnels, half-close, every time-out, load, Ctrl-C.
. "$(dirname "$0")/lib.sh"
need curl ncat wrk python3

"$bin/proxy" -help > usage.log 2>&1 && fail "-help is no address"
grep -q '^usage: ' usage.log || fail "no usage message"

mkdir files
echo hello > files/hello
head -c 2000000 /dev/urandom > files/big
serve upstream python3 -u "$(dirname "$0")/upstream.py" files
upstream=$address
serve proxy "$bin/proxy" -t 2 127.0.0.1:0
proxy=$pid port=${address##*:}
through="curl -sS --max-time 120 -x http://127.0.0.1:$port"
code="-o /dev/null -w %{http_code}"

# ---- plain requests ----
[ "$($through "http://$upstream/hello")" = hello ] || fail "no hello"
$through "http://$upstream/big" | cmp - files/big
$through --data-binary @files/big -H Expect: "http://$upstream/echo" | cmp - files/big
[ "$($through $code "http://$upstream/none")" = 404 ] || fail "a 404 must pass"
$through -H 'Keep-Alive: 5' "http://$upstream/head" > head.log
grep -q '^GET /head HTTP/1.1' head.log || fail "the request line was not rewritten"
grep -q '^Connection: close' head.log || fail "no Connection: close"
grep -qi '^Proxy-' head.log && fail "a Proxy- field was sent on"

# ---- tunnels ----
serve echo "$bin/echo" 127.0.0.1:0
echo=$pid echo_port=${address##*:}
[ "$($through -p "http://$upstream/hello")" = hello ] || fail "no hello through a tunnel"
$through -p "http://$upstream/big" | cmp - files/big
# Half-close: ncat shuts its sending side down before the answer has come back.
ncat --proxy "127.0.0.1:$port" --proxy-type http 127.0.0.1 "$echo_port" < files/big | cmp - files/big

# ---- what goes wrong ----
[ "$($through $code "http://$upstream/silent")" = 504 ] || fail "no 504 from a silent upstream"
stop INT "$echo" 0
[ "$($through $code "http://127.0.0.1:$echo_port/")" = 502 ] || fail "no 502 without upstream"
[ "$(printf 'nonsense\r\n\r\n' | ncat 127.0.0.1 "$port" | head -c 12)" = 'HTTP/1.1 400' ] ||
    fail "no 400"
talk half
exec 3> half.in
printf 'GET http' >&3
eventually grep -q '^HTTP/1.1 408' half.log
exec 3>&-
(printf 'GET http://'; head -c 20000 /dev/zero | tr '\0' a) | ncat 127.0.0.1 "$port" > long.log || true
head -c 12 long.log | grep -q 'HTTP/1.1 431' || fail "no 431 for a long head"
got=0
$through "http://$upstream/partial" > /dev/null 2> partial.log || got=$?
[ "$got" = 18 ] || fail "half an answer must not look complete"

# ---- load: wrk asks the proxy for an absolute URL ----
echo "wrk.path = 'http://$upstream/hello'" > load.lua
wrk -t2 -c32 -d2s --timeout 60s -s load.lua "http://127.0.0.1:$port" > wrk.log
grep -q ' requests in ' wrk.log || fail "wrk has no result"
grep -Eq 'Socket errors|Non-2xx' wrk.log && fail "wrk saw failed requests"
grep '^Requests/sec' wrk.log

# ---- Ctrl-C: an exchange that goes on is finished first ----
: > slow.log
$through --max-time 3 "http://$upstream/slow" >> slow.log 2>&1 &
client=$!
eventually grep -q drop slow.log
stop INT "$proxy" 0
wait "$client" || true
grep -q 'dropdropdrop' slow.log || fail "the exchange was cut off"
