import { must } from '../../src/core/must.ts';

export interface Series {
  readonly name: string;
  /** Both coordinates above 0. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Panel {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
}

interface Axis {
  readonly low: number;
  readonly high: number;
  /** From a value to its place in the picture. */
  at(value: number): number;
}

const WIDTH = 760;
const PANEL_HEIGHT = 320;
const MARGIN = { left: 84, right: 170, top: 40, bottom: 48 };
/** Told apart also by people who don't see all colours, and by shape of the line. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00'];
const DASHES = ['', '6 3', '2 3', '8 3 2 3', '', '6 3'];

/** A picture with the panels below each other, both axes logarithmic. */
export function plotPanels(panels: readonly Panel[]): string {
  const height = PANEL_HEIGHT * panels.length;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    ...panels.map((panel, i) => `<g transform="translate(0 ${i * PANEL_HEIGHT})">\n${panelOf(panel)}\n</g>`),
    '</svg>\n',
  ].join('\n');
}

function panelOf(panel: Panel): string {
  const points = panel.series.flatMap((series) => series.points);
  const right = WIDTH - MARGIN.right;
  const bottom = PANEL_HEIGHT - MARGIN.bottom;
  const x = axisOf(
    points.map(([value]) => value),
    MARGIN.left,
    right,
  );
  const y = axisOf(
    points.map(([, value]) => value),
    bottom,
    MARGIN.top,
  );
  const middle = (MARGIN.left + right) / 2;
  return [
    text(middle, 22, panel.title, 'text-anchor="middle" font-size="14" font-weight="bold"'),
    text(middle, PANEL_HEIGHT - 10, panel.xLabel, 'text-anchor="middle"'),
    text(0, 0, panel.yLabel, `text-anchor="middle" transform="translate(16 ${(MARGIN.top + bottom) / 2}) rotate(-90)"`),
    ...decades(x).map((value) => vertical(x.at(value), bottom, label(value))),
    ...decades(y).map((value) => horizontal(y.at(value), right, label(value))),
    ...panel.series.map((series, i) => lineOf(series, i, { x, y })),
  ].join('\n');
}

/** Whole decades around the values, at least one. */
function axisOf(values: readonly number[], from: number, to: number): Axis {
  const low = Math.floor(Math.log10(Math.min(...values)) + 1e-9);
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values)) - 1e-9));
  return { low, high, at: (value) => from + ((Math.log10(value) - low) / (high - low)) * (to - from) };
}

function decades(axis: Axis): number[] {
  return Array.from({ length: axis.high - axis.low + 1 }, (_, i) => 10 ** (axis.low + i));
}

function label(value: number): string {
  return value >= 1 ? value.toLocaleString('en-US') : String(Number(value.toPrecision(1)));
}

function vertical(x: number, bottom: number, name: string): string {
  const line = `<line x1="${round(x)}" x2="${round(x)}" y1="${MARGIN.top}" y2="${bottom}" stroke="#ddd"/>`;
  return line + text(x, bottom + 16, name, 'text-anchor="middle"');
}

function horizontal(y: number, right: number, name: string): string {
  const line = `<line x1="${MARGIN.left}" x2="${right}" y1="${round(y)}" y2="${round(y)}" stroke="#ddd"/>`;
  return line + text(MARGIN.left - 6, y + 4, name, 'text-anchor="end"');
}

function lineOf(series: Series, index: number, axes: { readonly x: Axis; readonly y: Axis }): string {
  const colour = must(COLOURS[index % COLOURS.length], 'a colour');
  const places = series.points.map(([x, y]) => [round(axes.x.at(x)), round(axes.y.at(y))] as const);
  const dash = DASHES[index % DASHES.length] ?? '';
  const stroke = `stroke="${colour}" stroke-width="2"${dash === '' ? '' : ` stroke-dasharray="${dash}"`}`;
  const left = WIDTH - MARGIN.right + 14;
  const keyY = MARGIN.top + 12 + index * 20;
  return [
    `<polyline fill="none" ${stroke} points="${places.map((place) => place.join(',')).join(' ')}"/>`,
    ...places.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="3" fill="${colour}"/>`),
    `<line x1="${left}" x2="${left + 26}" y1="${keyY - 4}" y2="${keyY - 4}" ${stroke}/>`,
    text(left + 32, keyY, series.name, ''),
  ].join('\n');
}

function text(x: number, y: number, content: string, attributes: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  const place = x === 0 && y === 0 ? '' : ` x="${round(x)}" y="${round(y)}"`;
  return `<text${place}${attributes === '' ? '' : ` ${attributes}`}>${escaped}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
