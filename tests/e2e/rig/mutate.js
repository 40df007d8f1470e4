/** What a client may say once it is connected, as it stands in an Engine.IO payload. */
export const PACKETS = [
  '42["register_user","mallory"]',
  '420["register_user",{"user_id":"mallory","device_id":"d","epoch":"e","cursor":1,"acks":true}]',
  '4217["ack_notifications",{"rev":1}]',
  '422["mark",{"op":"read","all":true,"category":"c"}]',
  '423["mark",{"op":"delete","ids":["0198c0de-0000-7000-8000-000000000000"]}]',
  '424["sync",{"cursor":3,"epoch":"e"}]',
  '425["refresh_token","eyJhbGciOiJub25lIn0.e30."]',
  '451-["mark",{"op":"read","all":{"_placeholder":true,"num":0}}]',
  '461-0[{"_placeholder":true,"num":0}]',
  '40{"user_id":"mallory","pid":"p","offset":"e:1"}',
  '40/admin,{}',
  '41',
  '430[1]',
  '44{"message":"no"}',
  '3',
  '2probe',
  '5',
  '6',
].map((packet) => Buffer.from(packet));

const WORDS = ['[', ']', '{', '}', '"', ',', '-', '\\u0000', '\\ud800', '\u0000', '99999999999999999999', '1e999', '-1', '\u001e', 'b', 'null', '_placeholder', '51000-']
  .map((word) => Buffer.from(word));

/** The packet with a few changes. */
export function mutate(random, packet) {
  let bytes = packet;
  for (let changes = 1 + random.below(4); changes > 0; changes -= 1) {
    const at = random.below(bytes.length + 1);
    const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)];
    const kind = random.below(5);
    if (kind === 0) bytes = Buffer.concat([head, Buffer.from([random.below(256)]), tail.subarray(1)]);
    else if (kind === 1) bytes = Buffer.concat([head, random.pick(WORDS), tail]);
    else if (kind === 2) bytes = Buffer.concat([head, tail.subarray(1 + random.below(8))]);
    else if (kind === 3) bytes = Buffer.concat([head, tail, tail]).subarray(0, 4_096);
    else bytes = Buffer.concat([head, Buffer.alloc(1 + random.below(200), random.pick(WORDS)), tail]);
  }
  return bytes;
}
