// A talk over /v1/realtime: the microphone goes up, the answer comes down, and speaking breaks into it.
import { Player, fromBase64, toBase64 } from "./player.js";
import { Routing } from "./routing.js";

const RATE = 24000;
const $ = (id) => document.getElementById(id);
const routing = new Routing($("routing"), $("routing-words"));
const key = new URLSearchParams(location.hash.slice(1)).get("key"); // #key=... where the server asks for one
const talk = { socket: null, context: null, microphone: null, player: null, mode: "idle", response: null, lines: new Map() };
window.mostTalk = talk; // for a look from the console

function say(text, bad = false) {
  $("state").textContent = text;
  $("state").classList.toggle("bad", bad);
}

function send(type, fields = {}) {
  if (talk.socket?.readyState === WebSocket.OPEN) talk.socket.send(JSON.stringify({ type, ...fields }));
}

// Sound needs a gesture of the user's before it may begin.
async function sound() {
  talk.context ??= new AudioContext();
  await talk.context.resume();
  talk.player ??= new Player(talk.context, RATE);
  return talk.context;
}

async function microphone() {
  const context = await sound();
  if (talk.microphone) return;
  const media = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: media });
  await context.audioWorklet.addModule("page/microphone.js");
  const node = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0 });
  context.createMediaStreamSource(stream).connect(node);
  node.port.onmessage = ({ data }) => {
    const peak = data.reduce((most, s) => Math.max(most, Math.abs(s)), 0);
    $("level").value = talk.mode === "idle" ? 0 : peak;
    if (talk.mode !== "idle") send("input_audio_buffer.append", { audio: toBase64(data) });
  };
  talk.microphone = node;
}

function configure(turns) {
  const rate = talk.context?.sampleRate ?? RATE;
  const detection = { type: "server_vad", silence_duration_ms: 600, create_response: true, interrupt_response: true };
  send("session.update", {
    session: {
      type: "realtime", output_modalities: [$("aloud").checked ? "audio" : "text"], include: ["routing"],
      audio: {
        input: { format: { type: "audio/pcm", rate }, turn_detection: turns ? detection : null, transcription: {} },
        output: { format: { type: "audio/pcm", rate: RATE }, voice: $("voice").value || "default" },
      },
    },
  });
}

// Stop what is being said, and tell the server how much of it was heard.
function hush(cancel = true) {
  if (cancel && talk.response) send("response.cancel");
  const { player } = talk;
  if (!player?.playing) return;
  const heard = player.heardSeconds();
  player.stop();
  send("conversation.item.truncate", { item_id: player.itemId, content_index: 0, audio_end_ms: Math.floor(1000 * heard) });
}

async function press() {
  if (talk.mode !== "idle") return;
  talk.mode = "hold"; // before the first await: a release may come meanwhile
  $("hold").classList.add("on");
  try {
    await microphone();
  } catch (e) {
    talk.mode = "idle";
    $("hold").classList.remove("on");
    return say(`no microphone: ${e.message}`, true);
  }
  if (talk.mode !== "hold") return;
  hush();
  configure(false);
  send("input_audio_buffer.clear");
  say("listening…");
}

function release() {
  if (talk.mode !== "hold") return;
  talk.mode = "idle";
  $("hold").classList.remove("on");
  send("input_audio_buffer.commit");
  send("response.create");
}

async function toggle() {
  if (talk.mode === "open") {
    talk.mode = "idle";
    configure(false);
    send("input_audio_buffer.clear");
    say("the microphone is closed");
  } else if (talk.mode === "idle") {
    try {
      await microphone();
    } catch (e) {
      return say(`no microphone: ${e.message}`, true);
    }
    talk.mode = "open";
    configure(true);
    say("listening: just speak");
  }
  $("open").setAttribute("aria-pressed", String(talk.mode === "open"));
  $("open").textContent = talk.mode === "open" ? "Close microphone" : "Open microphone";
  $("hold").disabled = talk.mode === "open";
}

async function upload(file) {
  const context = await sound();
  let wav;
  try {
    wav = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    return say(`${file.name} cannot be decoded by this browser; send wav, mp3, flac or ogg`, true);
  }
  if (talk.mode === "open") await toggle();
  hush();
  configure(false);
  const mono = new Float32Array(wav.length);
  for (let c = 0; c < wav.numberOfChannels; c++) wav.getChannelData(c).forEach((s, i) => { mono[i] += s / wav.numberOfChannels; });
  for (let i = 0; i < mono.length; i += wav.sampleRate) {
    send("input_audio_buffer.append", { audio: toBase64(mono.subarray(i, i + wav.sampleRate)) });
  }
  send("input_audio_buffer.commit");
  send("response.create");
  say(`${file.name}: ${wav.duration.toFixed(1)} s`);
}

async function type(text) {
  await sound();
  hush();
  if (talk.mode !== "open") configure(false);
  send("conversation.item.create", { item: { type: "message", role: "user", content: [{ type: "input_text", text }] } });
  send("response.create");
}

function line(id, role, note) {
  let li = talk.lines.get(id);
  if (!li) {
    li = document.createElement("li");
    li.className = role;
    li.innerHTML = "<span></span><small></small>";
    $("talk").append(li);
    talk.lines.set(id, li);
  }
  if (note !== undefined) li.querySelector("small").textContent = note;
  $("talk").scrollTop = $("talk").scrollHeight;
  return li.querySelector("span");
}

const events = {
  "session.created": () => { say("ready"); for (const e of document.querySelectorAll("[disabled]")) e.disabled = false; $("stop").disabled = true; configure(false); },
  "input_audio_buffer.speech_started": () => { hush(false); say("listening: you speak"); },
  "input_audio_buffer.speech_stopped": () => say("thinking…"),
  "conversation.item.added": ({ item }) => {
    const [part] = item.content;
    if (item.role === "user") line(item.id, "user", part.type === "input_audio" ? "spoken" : "typed").textContent = part.text ?? "…";
    else line(item.id, "assistant", "");
  },
  "conversation.item.input_audio_transcription.delta": ({ item_id, delta }) => {
    const span = line(item_id, "user");
    span.textContent = (span.textContent === "…" ? "" : span.textContent) + delta;
  },
  "conversation.item.input_audio_transcription.completed": ({ item_id, transcript }) => { line(item_id, "user").textContent = transcript || "(nothing understood)"; },
  "conversation.item.input_audio_transcription.failed": ({ item_id, error }) => line(item_id, "user", error.message),
  "response.created": ({ response }) => {
    talk.response = response.id;
    talk.began = performance.now();
    routing.reset();
    $("stop").disabled = false;
    say("thinking…");
  },
  "response.output_audio_transcript.delta": ({ item_id, delta }) => { line(item_id, "assistant").textContent += delta; },
  "response.output_text.delta": ({ item_id, delta }) => { line(item_id, "assistant").textContent += delta; },
  "response.output_audio.delta": ({ item_id, delta }) => {
    if (talk.player.itemId !== item_id) {
      talk.player.reset(item_id);
      line(item_id, "assistant", `first sound after ${Math.round(performance.now() - talk.began)} ms`);
      say("speaking");
    }
    talk.player.add(fromBase64(delta));
  },
  "response.routing": ({ tokens }) => routing.add(tokens),
  "response.done": ({ response }) => {
    talk.response = null;
    if (response.status === "failed") say(response.status_details.error.message, true);
    else if (response.status === "completed" || response.status === "incomplete") say(talk.mode === "open" ? "listening: just speak" : "ready");
  },
  "conversation.item.truncated": ({ item_id }) => send("conversation.item.retrieve", { item_id }),
  "conversation.item.retrieved": ({ item }) => {
    const span = line(item.id, "assistant", "interrupted"), heard = item.content[0].transcript, all = span.textContent;
    if (!all.startsWith(heard)) return;
    const rest = document.createElement("span");
    rest.className = "unheard";
    rest.textContent = all.slice(heard.length);
    span.replaceChildren(heard, rest);
  },
  error: ({ error }) => say(error.message, true),
};

async function connect() {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const found = await fetch("v1/models", { headers });
  if (!found.ok) return say(found.status === 401 ? "this server asks for a key: add #key=... to the address" : "the server does not answer", true);
  const [model] = (await found.json()).data;
  $("model").textContent = model.id;
  $("voice").replaceChildren(...model.voices.map((v) => new Option(v)));
  routing.experts = model.experts;
  const url = new URL(`v1/realtime?model=${encodeURIComponent(model.id)}`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  const protocols = ["realtime", ...(key ? [`openai-insecure-api-key.${key}`] : [])];
  talk.socket = new WebSocket(url, protocols);
  talk.socket.onmessage = ({ data }) => { const event = JSON.parse(data); events[event.type]?.(event); };
  talk.socket.onclose = ({ reason }) => {
    for (const e of document.querySelectorAll("button, input, select")) e.disabled = true;
    talk.player?.stop();
    say(`the talk has ended${reason ? `: ${reason}` : ""}; load the page again to go on`, true);
  };
}

$("hold").addEventListener("pointerdown", (e) => { e.preventDefault(); $("hold").setPointerCapture(e.pointerId); press(); });
for (const end of ["pointerup", "pointercancel"]) $("hold").addEventListener(end, release);
$("hold").addEventListener("contextmenu", (e) => e.preventDefault());
$("open").addEventListener("click", toggle);
$("stop").addEventListener("click", () => hush());
$("file").addEventListener("change", async (e) => { const [file] = e.target.files; e.target.value = ""; if (file) await upload(file); });
$("aloud").addEventListener("change", () => configure(talk.mode === "open"));
$("voice").addEventListener("change", () => configure(talk.mode === "open"));
$("controls").addEventListener("submit", (e) => {
  e.preventDefault();
  const text = $("text").value.trim();
  $("text").value = "";
  if (text) type(text);
});
const typing = () => document.activeElement === $("text") || document.activeElement === $("voice");
document.addEventListener("keydown", (e) => {
  if (e.code === "Escape") { hush(); if (typing()) document.activeElement.blur(); return; }
  if (typing() || e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.code === "Space" && !e.repeat && !$("hold").disabled) { e.preventDefault(); press(); }
  else if (e.code === "Space") e.preventDefault();
  else if (e.code === "KeyM" && !$("open").disabled) toggle();
  else if (e.code === "KeyT") { e.preventDefault(); $("text").focus(); }
});
document.addEventListener("keyup", (e) => { if (e.code === "Space") { if (!typing()) e.preventDefault(); release(); } });
window.addEventListener("blur", release);
connect().catch((e) => say(`no connection: ${e.message}`, true));
