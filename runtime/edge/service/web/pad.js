// A pad to draw on: with a mouse, a finger, a pen, or the arrow keys. It keeps strokes, not pixels.

const KEY_STEP = 1 / 24; // of the pad, for an arrow key
const LINE = 0.055; // width of the line, of the pad

/**
 * Makes a canvas a pad.
 * @param {HTMLCanvasElement} canvas - Square; it may be of any size.
 * @param {(strokes: Array<Array<[number, number]>>) => void} changed - Called after every change.
 * @returns {{strokes: Array, clear: () => void, undo: () => void, redraw: () => void}}
 */
export function makePad(canvas, changed) {
  const strokes = [];
  const key = { x: 0.5, y: 0.3, down: false, shown: false };
  let drawing = null; // the pointer that draws

  function redraw() {
    const ratio = window.devicePixelRatio || 1;
    const side = Math.max(1, Math.round(canvas.clientWidth * ratio));
    if (canvas.width !== side) canvas.width = canvas.height = side;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, side, side);
    const style = getComputedStyle(canvas);
    context.strokeStyle = context.fillStyle = style.getPropertyValue("--ink");
    context.lineWidth = LINE * side;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of strokes) {
      context.beginPath();
      stroke.forEach(([x, y], at) => (at ? context.lineTo(x * side, y * side) : context.moveTo(x * side, y * side)));
      if (stroke.length === 1) context.lineTo(stroke[0][0] * side, stroke[0][1] * side);
      context.stroke();
    }
    if (key.shown) {
      context.beginPath();
      context.arc(key.x * side, key.y * side, LINE * side * 0.7, 0, 2 * Math.PI);
      context.lineWidth = Math.max(2, 0.008 * side);
      context.strokeStyle = style.getPropertyValue("--accent");
      if (key.down) context.fill();
      context.stroke();
    }
  }

  function tell() {
    redraw();
    changed(strokes);
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    const inside = (value) => Math.min(1, Math.max(0, value));
    return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (drawing !== null || event.button > 0) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    drawing = event.pointerId;
    try {
      canvas.setPointerCapture(event.pointerId);
    } catch {
      // a pointer that is gone already
    }
    key.shown = key.down = false;
    strokes.push([place(event)]);
    tell();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== drawing) return;
    const between = event.getCoalescedEvents?.() ?? [];
    for (const each of between.length ? between : [event]) strokes.at(-1).push(place(each));
    tell();
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => {
      if (event.pointerId === drawing) drawing = null;
    });
  }

  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in arrows) {
      const [dx, dy] = arrows[event.key];
      const step = KEY_STEP * (event.shiftKey ? 3 : 1);
      key.x = Math.min(0.97, Math.max(0.03, key.x + dx * step));
      key.y = Math.min(0.97, Math.max(0.03, key.y + dy * step));
      key.shown = true;
      if (key.down) strokes.at(-1).push([key.x, key.y]);
    } else if (event.key === " " || event.key === "Enter") {
      key.shown = true;
      key.down = !key.down;
      if (key.down) strokes.push([[key.x, key.y]]);
    } else return;
    event.preventDefault();
    tell();
  });
  canvas.addEventListener("blur", () => {
    key.shown = key.down = false;
    redraw();
  });

  new ResizeObserver(redraw).observe(canvas);
  redraw();
  return {
    strokes,
    redraw,
    clear() {
      strokes.length = 0;
      key.down = false;
      tell();
    },
    undo() {
      strokes.pop();
      key.down = false;
      tell();
    },
  };
}
