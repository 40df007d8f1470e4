import { userPath } from './server.js';
import { until } from './until.js';

/** Reads a stream as EventSource does, and keeps what came; each event is given to `onEvent(event, args, id)` too. */
export async function stream(t, server, user, query = '', headers = {}, onEvent) {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const response = await fetch(`${server.url}${userPath(user)}/stream${query && `?${query}`}`, {
    headers: { accept: 'text/event-stream', ...headers },
    signal: stop.signal,
  });
  const events = [];
  const opened = { response, events, close: () => stop.abort() };
  if (response.status !== 200) return opened;
  opened.ended = (async () => {
    let rest = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body) {
      rest += decoder.decode(chunk, { stream: true });
      const blocks = rest.split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) {
        const fields = { data: [] };
        for (const line of block.split(/\r?\n/)) {
          const at = line.indexOf(':');
          if (at <= 0) continue;
          const value = line.slice(at + 1).replace(/^ /, '');
          if (line.slice(0, at) === 'data') fields.data.push(value);
          else fields[line.slice(0, at)] = value;
        }
        if (fields.data.length === 0) continue;
        const event = { event: fields.event, id: fields.id, args: JSON.parse(fields.data.join('\n')) };
        events.push(event);
        onEvent?.(event.event, event.args, event.id);
      }
    }
  })().catch(() => {});
  const of = (event) => events.filter((one) => one.event === event);
  opened.count = (event, count) =>
    until(`${count} ${event} on the stream`, () => of(event).length >= count && of(event));
  return opened;
}
