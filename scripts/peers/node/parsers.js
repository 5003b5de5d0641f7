// The parsers of the project socket.io: of version 4 (Engine.IO 4), and of version 2 (Engine.IO 3).
//
//   node parsers.js < CASES      each a line of JSON:
//     {"ask":"read","version":4,"text":...}                        a Socket.IO packet
//     {"ask":"write","version":4,"packet":{type,nsp,id,data}}      the same, answered {"text":...}
//     {"ask":"unpack","version":4,"body":BASE64,"binary":BOOL}     a payload of Engine.IO, answered {"packets":[...]}
//     {"ask":"pack","version":4,"packets":[...],"binary":BOOL}     the same, answered {"body":BASE64,"binary":BOOL}
//
// A packet of a payload is {"text":...}, with its type in front, or {"bytes":BASE64}, a binary message. What a parser
// refuses is answered {"error":...}.
'use strict';
const { createRequire } = require('node:module');
const { answerAll } = require('./cases');

// The parsers that the servers themselves use; the lock file pins their versions.
const parsersOf = (server) => {
  const its = createRequire(require.resolve(server));
  return { socketio: its('socket.io-parser'), engineio: createRequire(its.resolve('engine.io'))('engine.io-parser') };
};
const versions = { 4: parsersOf('socket.io'), 3: parsersOf('socket.io-2') };
const TYPES = ['open', 'close', 'ping', 'pong', 'message', 'upgrade', 'noop'];

const asks = {
  read({ version, text }) {
    const { Decoder } = versions[version].socketio;
    const decoder = new Decoder();
    let packet;
    // A packet with attachments is emitted only once they have arrived.
    const waits = () => decoder.reconstructor && (decoder.reconstructor.reconPack || decoder.reconstructor.packet);
    decoder.on('decoded', (decoded) => (packet = decoded));
    decoder.add(text);
    packet = packet ?? waits();
    // Version 2 has no other way to refuse.
    if (!packet || (version === 3 && packet.type === 4 && packet.data?.startsWith?.('parser error'))) throw Error('refused');
    const { nsp, id, attachments, data } = packet;
    // The newer one forgets that an event was binary once it has looked.
    const type = attachments && packet.type < 5 ? packet.type + 3 : packet.type;
    return { type, nsp, id, attachments, data };
  },
  write({ version, packet }) {
    const encoder = new versions[version].socketio.Encoder();
    if (version === 4) return { text: encoder.encode(packet)[0] };
    return new Promise((resolve) => encoder.encode(packet, ([text]) => resolve({ text })));
  },
  unpack({ version, body, binary }) {
    const bytes = Buffer.from(body, 'base64');
    const payload = binary ? bytes : bytes.toString();
    const packets = [];
    const parser = versions[version].engineio;
    if (version === 4) packets.push(...parser.decodePayload(payload));
    else parser.decodePayload(payload, (packet) => void packets.push(packet));
    return {
      packets: packets.map(({ type, data }) => {
        if (!TYPES.includes(type)) throw Error('refused');
        if (Buffer.isBuffer(data)) return { bytes: data.toString('base64') };
        return { text: `${TYPES.indexOf(type)}${data ?? ''}` };
      }),
    };
  },
  pack({ version, packets, binary }) {
    const parsed = packets.map(({ text, bytes }) =>
      text === undefined
        ? { type: 'message', data: Buffer.from(bytes, 'base64') }
        : { type: TYPES[text[0]], data: text.slice(1) || undefined },
    );
    const encoded = (payload) => ({ body: Buffer.from(payload).toString('base64'), binary: Buffer.isBuffer(payload) });
    const parser = versions[version].engineio;
    return new Promise((resolve) => {
      const done = (payload) => resolve(encoded(payload));
      if (version === 4) parser.encodePayload(parsed, done);
      else parser.encodePayload(parsed, binary, done);
    });
  },
};

answerAll((one) => {
  try {
    return asks[one.ask](one);
  } catch (error) {
    return { error: error.message };
  }
});
