
"use strict";
// Engine.IO 4 and Socket.IO 5 over a WebSocket, as much of them as this page needs:
// https://github.com/socketio/engine.io-protocol and https://github.com/socketio/socket.io-protocol
function openSocket(gate, proof, on) {
  const query = new URLSearchParams({ EIO: "4", transport: "websocket", ...proof });
  const socket = new WebSocket(gate.replace(/^http/, "ws") + "/socket.io/?" + query);
  let silenceMaxMs = 0, silence = 0;
  const awaitPing = () => {
    clearTimeout(silence);
    if (silenceMaxMs > 0) silence = setTimeout(() => socket.close(), silenceMaxMs);
  };
  socket.onmessage = ({ data }) => {
    if (typeof data !== "string") return;
    if (data.startsWith("0")) {
      const open = JSON.parse(data.slice(1));
      silenceMaxMs = open.pingInterval + open.pingTimeout;
      socket.send("40");
    } else if (data === "2") {
      socket.send("3");
    } else if (data.startsWith("40")) {
      on.connected();
      socket.send('420["whoami"]');
    } else if (data.startsWith("430")) {
      on.user(JSON.parse(data.slice(3))[0]);
    } else if (data.startsWith("44")) {
      // A server of Socket.IO 2 that takes any version refuses with the text alone.
      const error = JSON.parse(data.slice(2));
      on.refused(error.message ?? error, error.data);
      socket.close();
    } else if (data.startsWith("41") || data === "1") {
      socket.close();
    }
    awaitPing();
  };
  socket.onclose = () => { clearTimeout(silence); on.disconnected(); };
  return () => socket.close();
}
