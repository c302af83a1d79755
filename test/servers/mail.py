"""A mail server for tests, on python3-aiosmtpd: STARTTLS with AUTH, TLS from the first byte with AUTH, and plain without either.

usage: mail.py DIR CERTIFICATE KEY STARTTLS_PORT TLS_PORT PLAIN_PORT

Each message goes to DIR/NUMBER.eml, its envelope to DIR/NUMBER.json. The user is "user" with the password in the variable
MAIL_PASSWORD. The local part of a receiver asks for a fault: bounce 550, busy 451 at its first try, drop cuts the connection, cut
cuts it after the message was sent but before it was kept, lost keeps the message and cuts the connection before the answer.
"""
import asyncio, json, os, ssl, sys, time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

folder, certificate, key = sys.argv[1:4]
starttls, tls, plain = (int(p) for p in sys.argv[4:7])
password = os.environ["MAIL_PASSWORD"].encode()
greylisted, kept = set(), [sum(name.endswith(".eml") for name in os.listdir(folder))]  # from its last start too


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        who = address.split("@")[0]
        if who == "bounce":
            return "550 5.1.1 no such user"
        if who == "busy" and address not in greylisted:
            greylisted.add(address)
            return "451 4.7.1 greylisted, try again"
        if who == "drop":
            server.transport.close()
            return "421 bye"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        who = envelope.rcpt_tos[0].split("@")[0]
        if who == "cut" and who not in greylisted:
            greylisted.add(who)
            server.transport.abort()
            return "421 bye"
        kept[0] += 1
        name = os.path.join(folder, "%04d" % kept[0])
        with open(name + ".eml", "wb") as f:
            f.write(envelope.original_content)
        with open(name + ".tmp", "w") as f:
            json.dump({"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": server.transport.get_extra_info("ssl_object") is not None, "auth": bool(session.authenticated),
                       "helo": session.host_name, "at": time.time()}, f)
        os.rename(name + ".tmp", name + ".json")
        if who == "lost" and who not in greylisted:
            greylisted.add(who)
            server.transport.abort()
        return "250 2.0.0 kept as %04d" % kept[0]


def authenticate(server, session, envelope, mechanism, data):
    ok = getattr(data, "login", b"") == b"user" and getattr(data, "password", b"") == password
    return AuthResult(success=ok, handled=False)


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(certificate, key)
for controller in (
    Controller(Handler(), "127.0.0.1", starttls, tls_context=context, require_starttls=True, authenticator=authenticate, auth_required=True),
    Controller(Handler(), "127.0.0.1", tls, ssl_context=context, authenticator=authenticate, auth_required=True, auth_require_tls=False),
    Controller(Handler(), "127.0.0.1", plain),
):
    controller.start()
print("ready", flush=True)
while True:
    time.sleep(3600)
