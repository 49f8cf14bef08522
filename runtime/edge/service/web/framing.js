// From pen strokes to the 28x28 image that a model sees: MNIST's own frame, a 20x20 box with the centre of mass in the
// middle. Whole numbers throughout, so that Python computes the same bytes.

export const SIDE = 28;
const BOX = 20;
const MIDDLE = SIDE / 2;
const FINENESS = 8; // pixels of the drawn mask for each pixel of the image
const PEN_RADIUS = 10; // of these pixels: a line 2.5 pixels wide in the image, as in MNIST
const PRECISION_BITS = 22; // of the weights of a resize, as Pillow has them for 8-bit pixels

/**
 * The image of strokes, whatever their size and place on the pad.
 * @param {Array<Array<[number, number]>>} strokes - Points that the pen passed, a list for each stroke.
 * @returns {Uint8Array | null} 784 bytes, ink 255 on background 0, row by row; null where nothing is drawn.
 */
export function imageOf(strokes) {
  const mask = maskOf(strokes);
  return mask === null ? null : fitFrame(mask);
}

/** Strokes as a mask in which the digit fills 160 pixels: {pixels, width, height}, or null. */
export function maskOf(strokes) {
  const points = strokes.flat();
  if (points.length === 0) return null;
  const xs = points.map((point) => point[0]);
  const ys = points.map((point) => point[1]);
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const [width, height] = [Math.max(...xs) - left, Math.max(...ys) - top];
  const room = BOX * FINENESS - 2 * PEN_RADIUS;
  const longer = Math.max(width, height);
  const scale = longer > 0 ? room / longer : 0; // a dot stays a dot
  const placed = strokes.map((stroke) =>
    stroke.map(([x, y]) => [
      Math.round((x - left) * scale) + PEN_RADIUS,
      Math.round((y - top) * scale) + PEN_RADIUS,
    ]),
  );
  const columns = Math.round(width * scale) + 2 * PEN_RADIUS + 1;
  const rows = Math.round(height * scale) + 2 * PEN_RADIUS + 1;
  const pixels = new Uint8Array(rows * columns);
  for (const stroke of placed) {
    for (let at = 0; at < stroke.length; at++) {
      ink(pixels, columns, rows, stroke[Math.max(at - 1, 0)], stroke[at]);
    }
  }
  return { pixels, width: columns, height: rows };
}

/** Sets the pixels that are at most a pen's radius from a line; all numbers whole. */
function ink(pixels, columns, rows, [x0, y0], [x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length = dx * dx + dy * dy;
  const limit = PEN_RADIUS * PEN_RADIUS;
  const first = Math.max(Math.min(y0, y1) - PEN_RADIUS, 0);
  const last = Math.min(Math.max(y0, y1) + PEN_RADIUS, rows - 1);
  const start = Math.max(Math.min(x0, x1) - PEN_RADIUS, 0);
  const end = Math.min(Math.max(x0, x1) + PEN_RADIUS, columns - 1);
  for (let y = first; y <= last; y++) {
    for (let x = start; x <= end; x++) {
      const [px, py] = [x - x0, y - y0];
      const along = px * dx + py * dy;
      let near;
      if (along <= 0) near = px * px + py * py <= limit;
      else if (along >= length) near = (x - x1) ** 2 + (y - y1) ** 2 <= limit;
      else near = (px * dy - py * dx) ** 2 <= limit * length;
      if (near) pixels[y * columns + x] = 255;
    }
  }
}

/** A mask scaled to the box, smoothly, with its centre of mass at pixel (14, 14). */
export function fitFrame({ pixels, width, height }) {
  const box = tight(pixels, width, height);
  const longer = Math.max(box.width, box.height);
  const fitted = (size) => Math.max(1, Math.floor((2 * BOX * size + longer) / (2 * longer)));
  const [columns, rows] = [fitted(box.width), fitted(box.height)];
  const digit = resize(box.pixels, box.width, box.height, columns, rows);
  const down = new Array(rows).fill(0);
  const across = new Array(columns).fill(0);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      down[y] += digit[y * columns + x];
      across[x] += digit[y * columns + x];
    }
  }
  const [top, left] = [startOf(down), startOf(across)];
  const image = new Uint8Array(SIDE * SIDE);
  for (let y = 0; y < rows; y++) {
    image.set(digit.subarray(y * columns, (y + 1) * columns), (top + y) * SIDE + left);
  }
  return image;
}

function tight(pixels, width, height) {
  let [top, left, bottom, right] = [height, width, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (pixels[y * width + x] === 0) continue;
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
      [left, right] = [Math.min(left, x), Math.max(right, x)];
    }
  }
  const [columns, rows] = [right - left + 1, bottom - top + 1];
  const part = new Uint8Array(rows * columns);
  for (let y = 0; y < rows; y++) {
    const from = (top + y) * width + left;
    part.set(pixels.subarray(from, from + columns), y * columns);
  }
  return { pixels: part, width: columns, height: rows };
}

/** Where the first row (or column) goes so that the centre of mass falls on the middle one; all stays inside. */
function startOf(mass) {
  const total = Math.max(1, mass.reduce((sum, value) => sum + value, 0));
  const moment = mass.reduce((sum, value, at) => sum + value * at, 0);
  const centre = Math.floor((2 * moment + total) / (2 * total));
  return Math.min(Math.max(MIDDLE - centre, 0), SIDE - mass.length);
}

/**
 * The mean over boxes, as Pillow's `resize` with `Resampling.BOX` computes it: across first and then down, or, where
 * the height shrinks by more than twice as many pixels as the width, down first. Each pass rounds.
 */
export function resize(pixels, width, height, columns, rows) {
  if (height > rows && height - rows > 2 * (width - columns)) {
    return squeezed(squeezed(pixels, width, height, width, rows), width, rows, columns, rows);
  }
  return squeezed(squeezed(pixels, width, height, columns, height), columns, height, columns, rows);
}

/** One pass: the width or the height changes, or neither. */
function squeezed(pixels, width, height, columns, rows) {
  if (columns === width && rows === height) return pixels;
  const result = new Uint8Array(rows * columns);
  const across = columns !== width;
  const weights = across ? boxes(width, columns) : boxes(height, rows);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const { first, parts } = weights[across ? x : y];
      const start = across ? y * width + first : first * width + x;
      const step = across ? 1 : width;
      result[y * columns + x] = weighted(parts, (at) => pixels[start + at * step]);
    }
  }
  return result;
}

function weighted(parts, value) {
  let sum = 2 ** (PRECISION_BITS - 1);
  for (let at = 0; at < parts.length; at++) sum += value(at) * parts[at];
  return Math.min(255, Math.max(0, Math.floor(sum / 2 ** PRECISION_BITS)));
}

function boxes(from, to) {
  const scale = from / to;
  const filterScale = Math.max(scale, 1);
  const support = 0.5 * filterScale;
  const shrink = 1 / filterScale; // multiplied by, as Pillow does: the last bit decides what lies on a border
  return Array.from({ length: to }, (_, at) => {
    const centre = (at + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const end = Math.min(Math.trunc(centre + support + 0.5), from);
    const raw = [];
    for (let x = first; x < end; x++) {
      const place = (x - centre + 0.5) * shrink;
      raw.push(place > -0.5 && place <= 0.5 ? 1 : 0);
    }
    const total = raw.reduce((sum, value) => sum + value, 0);
    const parts = raw.map((value) => Math.trunc(0.5 + (value / total) * 2 ** PRECISION_BITS));
    return { first, parts };
  });
}
