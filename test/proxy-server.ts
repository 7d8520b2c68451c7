/**
 * @file A proxy in the process of a test, through which the host "hub.invalid" is the Hub of that test: plain requests
 * are passed on, tunnels end in TLS under a certificate of the test's own.
 */

import { once } from "node:events";
import { request as ask, createServer, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";

export type ProxyServer = {
  /** Without a user. */
  url: string;
  /** "GET http://hub.invalid/..." or "CONNECT hub.invalid:443", with what was given to be let in. */
  requests: { what: string; authorization: string | undefined }[];
  /** Answers every request with this status while it is set. */
  refusedStatus: number | undefined;
  close(): Promise<void>;
};

/** Starts the proxy before the Hub at `hubUrl`. */
export async function startProxy(hubUrl: string): Promise<ProxyServer> {
  const hubPort = Number(new URL(hubUrl).port);
  const tls = createTlsServer({ key, cert: certificate }, (open) =>
    joined(open, connect(hubPort, "127.0.0.1")),
  );
  const tlsPort = await listening(tls);
  const proxy = createServer();
  const state = { requests: [] as ProxyServer["requests"], refusedStatus: undefined as number | undefined };
  const record = (what: string, headers: { "proxy-authorization"?: string | undefined }) =>
    state.requests.push({ what, authorization: headers["proxy-authorization"] });
  proxy.on("request", (request, response: ServerResponse) => {
    record(`${request.method} ${request.url}`, request.headers);
    if (state.refusedStatus) return void response.writeHead(state.refusedStatus).end();
    const { method, headers } = request;
    const path = request.url!.replace(/^http:\/\/[^/]+/, "");
    const passed = ask({ host: "127.0.0.1", port: hubPort, path, method, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    request.pipe(passed);
  });
  proxy.on("connect", (request, socket: Socket) => {
    record(`CONNECT ${request.url}`, request.headers);
    if (state.refusedStatus) return void socket.end(`HTTP/1.1 ${state.refusedStatus} Refused\r\n\r\n`);
    socket.write("HTTP/1.1 200 Connected\r\n\r\n");
    joined(socket, connect(tlsPort, "127.0.0.1"));
  });
  const port = await listening(proxy);
  const close = async () => {
    proxy.closeAllConnections();
    for (const server of [proxy, tls]) server.close();
  };
  return Object.assign(state, { url: `http://127.0.0.1:${port}`, close });
}

function joined(a: Socket, b: Socket): void {
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    one.pipe(other);
    one.on("error", () => other.destroy());
    one.on("close", () => other.destroy());
  }
}

async function listening(server: ReturnType<typeof createTlsServer> | ReturnType<typeof createServer>) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** For hub.invalid, by nobody's authority: who is to trust it is given it as NODE_EXTRA_CA_CERTS. */
export const certificate = `-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUL6jmzvYA2ZxKimmEIIqkf2dAG6swCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLaHViLmludmFsaWQwIBcNMjYxMTI5MTA0MjE2WhgPMjEyNjEx
MDUxMDQyMTZaMBYxFDASBgNVBAMMC2h1Yi5pbnZhbGlkMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEAfPDeSA6CQ5xjaSItrYpPl1k7Td02mCWZuMcl2xn/aks29W0
fNkc0GZm5C2q1QZd0cmMJRuFd13Npv126TDyiaNrMGkwHQYDVR0OBBYEFOwdfik2
ts7EjdLAfJDctVyqi4mkMB8GA1UdIwQYMBaAFOwdfik2ts7EjdLAfJDctVyqi4mk
MA8GA1UdEwEB/wQFMAMBAf8wFgYDVR0RBA8wDYILaHViLmludmFsaWQwCgYIKoZI
zj0EAwIDSQAwRgIhAK3tDJcufWPadh/+c2iWoTTijzGsNbkRitI3hoA8nAJVAiEA
n/8h2CUYh9oHar1+1AX0SYGolGoB53QKs4DOUug33xI=
-----END CERTIFICATE-----
`;

const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgSzC0Mhs5u94nfQUS
NBWOTKnJscJivJrfhGkFBh+pryihRANCAAQB88N5IDoJDnGNpIi2tik+XWTtN3Ta
YJZm4xyXbGf9qSzb1bR82RzQZmbkLarVBl3RyYwlG4V3Xc2m/XbpMPKJ
-----END PRIVATE KEY-----
`;
