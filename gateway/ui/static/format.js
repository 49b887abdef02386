// Numbers as people read them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(count) {
  let unit = 0;
  while (count >= 1024 && unit < UNITS.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${significant(count)} ${UNITS[unit]}`;
}

export const known = (value, show) => (value === null || value === undefined ? "–" : show(value));

export const count = (value) => Math.round(value).toLocaleString("en");

export const percent = (share) => (share > 0 && share < 0.01 ? "< 1%" : `${Math.round(100 * share)}%`);

export function duration(ms) {
  if (ms === 0) return "0 ms";
  if (ms < 1) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

export const clock = (date) => date.toLocaleTimeString("en-GB");

function significant(value) {
  if (value === 0 || value >= 100) return String(Math.round(value));
  return value.toFixed(value >= 10 ? 1 : 2);
}
