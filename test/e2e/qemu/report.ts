/** Counts of a differential run, and the first differences that nothing explains. */
export class Report {
  requests = 0;
  agree = 0;
  /** Translated, to the same address. */
  translated = 0;
  /** Requests that were not made, by reason. */
  readonly leftOut = new Map<string, number>();
  /** Scripts in which QEMU gave up. */
  ended = 0;
  readonly departures = new Map<string, number>();
  readonly unexplained: string[] = [];
  readonly outcomes = new Map<string, number>();

  /** One request; `departures` are what QEMU was expected to do otherwise. */
  count(observed: string, predicted: string, departures: readonly string[], describe: () => string): void {
    this.requests++;
    const kind = observed.replace(/^(ok|\w+ 0x[0-9a-f]+|refused).*/, "$1");
    this.outcomes.set(kind, (this.outcomes.get(kind) ?? 0) + 1);
    if (observed !== predicted) {
      this.unexplained.push(describe());
      return;
    }
    if (departures.length === 0) this.agree++;
    if (observed.startsWith("ok")) this.translated++;
    for (const name of departures) this.departures.set(name, (this.departures.get(name) ?? 0) + 1);
  }

  leave(reason: string): void {
    this.leftOut.set(reason, (this.leftOut.get(reason) ?? 0) + 1);
  }

  lines(): string[] {
    const sorted = (map: Map<string, number>) =>
      [...map].sort(([, a], [, b]) => b - a).map(([name, n]) => `${name} ${n}`);
    return [
      `${this.requests} requests: ${this.agree} alike, ${this.requests - this.agree - this.unexplained.length} by a listed divergence, ${this.unexplained.length} unexplained`,
      `  outcomes: ${sorted(this.outcomes).join(", ")}`,
      `  divergences: ${sorted(this.departures).join(", ") || "none"}`,
      `  left out: ${sorted(this.leftOut).join(", ") || "none"}`,
      ...(this.ended ? [`  scripts that QEMU ended itself on: ${this.ended}`] : []),
    ];
  }
}
