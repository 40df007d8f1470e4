/**
 * The epoch and the revision in an offset, the last argument of an event. What follows the revision after a `;` is the
 * server's own: a client gives it back as it came.
 */
export function placeOf(offset) {
  const found = /^(.+?):(\d+)(?:;.*)?$/.exec(offset);
  if (!found) throw new Error(`not an offset: ${JSON.stringify(offset)}`);
  return { epoch: found[1], rev: Number(found[2]) };
}
