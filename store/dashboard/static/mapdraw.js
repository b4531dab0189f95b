// The map's canvas: points in a plane that is moved and zoomed. Knows no service and no words.

import { tone } from "./chart.js";

const NEAR = 14; // pixels within which a pointer means a point

export class Plane {
  constructor(canvas) {
    this.canvas = canvas;
    this.points = [];
    this.shows = () => true;
    this.marked = () => false;
    this.selected = null;
    this.home();
  }

  /** Back to where all is seen. */
  home() {
    this.scale = 1;
    this.centre = [0, 0];
  }

  /** points: {x, y, kind, tone}; fits them into the canvas. */
  show(points) {
    this.points = points;
    // Of many points the spread operator's arguments would be too many: there are 4,000 at most.
    const xs = points.map((one) => one.x), ys = points.map((one) => one.y);
    const [left, right] = [Math.min(...xs, 0), Math.max(...xs, 0)];
    const [low, high] = [Math.min(...ys, 0), Math.max(...ys, 0)];
    this.middle = [(left + right) / 2, (low + high) / 2];
    this.reach = [Math.max(right - left, 1e-6) / 2, Math.max(high - low, 1e-6) / 2];
    this.draw();
  }

  /** Pixels for one unit of the plane: all is seen at a scale of 1, and both axes are alike. */
  unit(scale = this.scale) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return Math.max(1, Math.min((width / 2 - 24) / this.reach[0], (height / 2 - 24) / this.reach[1])) * scale;
  }

  /** Pixels of the canvas' element for a point. */
  place(point) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const unit = this.unit();
    return [
      width / 2 + (point.x - this.middle[0] - this.centre[0]) * unit,
      height / 2 - (point.y - this.middle[1] - this.centre[1]) * unit,
    ];
  }

  /** The point that is meant at these pixels, or null. */
  at(x, y) {
    let best = null, least = NEAR ** 2;
    for (const one of this.points) {
      if (!this.shows(one)) continue;
      const [px, py] = this.place(one);
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least) [best, least] = [one, distance];
    }
    return best;
  }

  /** The next point in a direction of the screen, from the selected one or the middle. */
  next(dx, dy) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const [fx, fy] = this.selected ? this.place(this.selected) : [width / 2, height / 2];
    let best = null, least = Infinity;
    for (const one of this.points) {
      if (one === this.selected || !this.shows(one)) continue;
      const [px, py] = this.place(one);
      const along = (px - fx) * dx + (py - fy) * dy, across = Math.abs((px - fx) * dy) + Math.abs((py - fy) * dx);
      if (this.selected && along <= 0.5) continue;
      const cost = Math.hypot(px - fx, py - fy) + 2 * across;
      if (cost < least) [best, least] = [one, cost];
    }
    return best;
  }

  move(dx, dy) {
    const unit = this.unit();
    this.centre = [this.centre[0] - dx / unit, this.centre[1] + dy / unit];
    this.draw();
  }

  /** Zoom around a place of the screen, the middle where none is given. */
  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const before = this.scale;
    this.scale = Math.min(60, Math.max(0.5, this.scale * factor));
    const dx = x - this.canvas.clientWidth / 2, dy = y - this.canvas.clientHeight / 2;
    this.centre = [
      this.centre[0] + dx / this.unit(before) - dx / this.unit(),
      this.centre[1] - dy / this.unit(before) + dy / this.unit(),
    ];
    this.draw();
  }

  /** Move so that a point is seen. */
  reveal(point) {
    const [x, y] = this.place(point);
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (x < 20 || y < 20 || x > width - 20 || y > height - 20) this.move(width / 2 - x, height / 2 - y);
  }

  draw() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || !this.points.length) return;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const colours = new Map();
    const colour = (name) => colours.get(name) ?? colours.set(name, tone(name)).get(name);
    const size = Math.min(5.5, 2.6 + Math.log2(this.scale + 1) * 0.7);
    const shown = this.points.filter((one) => this.shows(one));
    const some = shown.some((one) => this.marked(one));
    for (const one of shown) {
      const marked = some && this.marked(one);
      pen.globalAlpha = some && !marked ? 0.18 : one.kind === "user" ? 0.75 : 0.8;
      this.#mark(pen, one, marked ? size * 1.7 : size, colour(one.tone));
    }
    pen.globalAlpha = 1;
    if (this.selected && this.shows(this.selected)) {
      const [x, y] = this.place(this.selected);
      pen.strokeStyle = colour("ink");
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(x, y, size + 5, 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  #mark(pen, one, size, colour) {
    const [x, y] = this.place(one);
    pen.beginPath();
    if (one.kind === "user") {
      pen.moveTo(x, y - size - 0.5);
      pen.lineTo(x + size + 0.5, y);
      pen.lineTo(x, y + size + 0.5);
      pen.lineTo(x - size - 0.5, y);
      pen.closePath();
      pen.lineWidth = 1.4;
      pen.strokeStyle = colour;
      pen.stroke();
    } else {
      pen.arc(x, y, size, 0, 2 * Math.PI);
      pen.fillStyle = colour;
      pen.fill();
    }
  }
}
