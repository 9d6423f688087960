// Plays an answer's chunks one behind the other, and knows how much of it was heard.
export class Player {
  constructor(context, rate) {
    this.context = context;
    this.rate = rate;
    this.reset(null);
  }

  reset(itemId) {
    this.itemId = itemId;
    this.chunks = []; // {source, start, seconds}
    this.end = 0;
  }

  get playing() {
    return this.context.currentTime < this.end;
  }

  // Float32Array of samples, behind all that came before.
  add(samples) {
    if (!samples.length) return;
    const buffer = this.context.createBuffer(1, samples.length, this.rate);
    buffer.copyToChannel(samples, 0);
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    const start = Math.max(this.context.currentTime + 0.03, this.end);
    source.start(start);
    this.chunks.push({ source, start, seconds: buffer.duration });
    this.end = start + buffer.duration;
  }

  heardSeconds() {
    const now = this.context.currentTime;
    return this.chunks.reduce((sum, c) => sum + Math.min(c.seconds, Math.max(0, now - c.start)), 0);
  }

  stop() {
    for (const { source } of this.chunks) {
      source.onended = null;
      source.stop();
    }
    this.end = 0;
  }
}

export function toBase64(samples) {
  const bytes = new Uint8Array(samples.length * 2);
  const view = new DataView(bytes.buffer);
  samples.forEach((s, i) => view.setInt16(2 * i, Math.round(Math.max(-1, Math.min(1, s)) * 32767), true));
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

export function fromBase64(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length >> 1 }, (_, i) => view.getInt16(2 * i, true) / 32768);
}
