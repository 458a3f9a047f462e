// What a page does waits until it is painted: to fetch and to run it would compete with that.

// Where a browser does not tell of paints.
const LATEST_MS = 1000;

function begin() {
  import("./live.js");
}

new PerformanceObserver(begin).observe({ type: "paint", buffered: true });
setTimeout(begin, LATEST_MS);
