// Server-sent events of a fetch response: EventSource can neither POST nor send a token.

/** Yield `{name, data, id}` of each event; `onpiece()` is told whatever comes, heartbeats too. Ends when the stream does; an event that broke off is not told. */
export async function* eventsIn(response, onpiece) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let pieces = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      onpiece();
      // A large event comes in many pieces, which are joined once.
      if (!value.includes("\n")) {
        pieces.push(value);
        continue;
      }
      const frames = (pieces.join("") + value).split("\n\n");
      pieces = [frames.pop()];
      for (const frame of frames) {
        const event = parsed(frame);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parsed(frame) {
  const event = { name: "message", data: "", id: null };
  for (const line of frame.split("\n")) {
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    if (field === "event") event.name = value;
    else if (field === "data") event.data = value;
    else if (field === "id") event.id = value;
  }
  return event.data ? { ...event, data: JSON.parse(event.data) } : null;
}
