module weftdoc-peer

go 1.26
