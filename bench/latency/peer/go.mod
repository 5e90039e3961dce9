module weft/bench/latency/peer

go 1.26
