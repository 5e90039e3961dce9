# SPDX-License-Identifier: Apache-2.0
"""A web server for the tests of the examples: what it does depends on the path.

Run as `python3 -u upstream.py FOLDER`: it serves the files of FOLDER, and
  /echo     answers a POST with its body
  /silent   takes the request and never answers
  /partial  announces more than it sends, then closes
  /slow     sends a few bytes at a time, for ever
  /head     answers with the head of the request as it came
On port 0 of 127.0.0.1; the real address is the first line that it prints.
"""
import http.server
import os
import sys
import time


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, body, length=None):
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/silent":
            time.sleep(3600)
        elif self.path == "/partial":
            self.answer(b"half", 1000)
        elif self.path == "/slow":
            self.answer(b"", 1000000)
            while True:
                self.wfile.write(b"drop")
                time.sleep(0.1)
        elif self.path == "/head":
            self.answer((self.raw_requestline + bytes(self.headers)))
        else:
            super().do_GET()

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that went away


os.chdir(sys.argv[1])
server = Server(("127.0.0.1", 0), Handler)
print("listening on 127.0.0.1:%d" % server.server_address[1], flush=True)
server.serve_forever()
