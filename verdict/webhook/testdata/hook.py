#!/usr/bin/env python3
"""A webhook for Postreeve in the standard library: HOOK_KEY=secret python3 hook.py PORT"""
import base64, hashlib, hmac, json, os, sys, time
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = os.environ["HOOK_KEY"].encode()

class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        at = self.headers.get("Postreeve-Timestamp", "")
        want = "v1=" + hmac.new(KEY, at.encode() + b"." + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(want, self.headers.get("Postreeve-Signature", "")) or abs(time.time() - int(at)) > 300:
            return self.send_error(403)
        self.reply(judge(message_from_bytes(base64.b64decode(json.loads(body)["message"]))))

    def reply(self, answer):
        out = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)

def judge(mail):
    if "you have won" in str(mail["Subject"]).lower():
        return {"class": "spam", "detail": "promises a prize", "findings": [{"code": "lottery.subject", "class": "spam"}]}
    return {"class": "clean"}

server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Hook)
print(server.server_port, flush=True)
server.serve_forever()
