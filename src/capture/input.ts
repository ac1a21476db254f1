/**
 * Reading what strangers wrote: values out of parsed JSON, each with the path that leads to it.
 *
 * Everything wrong with an input ends as one InputError that names file and place.
 */

/** An input file that is not what it should be. `message` is one line: file, place, what is wrong. */
export class InputError extends Error {
  readonly file: string;
  /** JSON path, line or byte offset; "" when the file as a whole is meant. */
  readonly place: string;

  constructor(file: string, place: string, problem: string) {
    super(`${file}: ${place === "" ? "" : `${place}: `}${problem}`);
    this.name = "InputError";
    this.file = file;
    this.place = place;
  }
}

const MAX_SHOWN = 60;

/** A value inside a JSON document, and where it stands. */
export class Json {
  readonly #file: string;
  readonly path: string;
  readonly #value: unknown;

  private constructor(file: string, path: string, value: unknown) {
    this.#file = file;
    this.path = path;
    this.#value = value;
  }

  /** @param file what to call the document in messages: a file, or a file and a line */
  static parse(file: string, text: string): Json {
    try {
      return new Json(file, "", JSON.parse(text));
    } catch (error) {
      const problem = (error as Error).message.replace(/\s+/g, " ").slice(0, 2 * MAX_SHOWN);
      throw new InputError(file, "", `not JSON: ${problem}`);
    }
  }

  /** @throws InputError at this value, always */
  refuse(problem: string): never {
    throw new InputError(this.#file, this.path, problem);
  }

  /** Whether there is a value and it is not null. */
  get present(): boolean {
    return this.#value !== undefined && this.#value !== null;
  }

  get isNumber(): boolean {
    return typeof this.#value === "number";
  }

  /** Member of an object; what is not there is an empty value, refused once it is read. */
  at(name: string): Json {
    if (!this.present) return new Json(this.#file, this.#join(name), undefined);
    const members = this.#members();
    return new Json(this.#file, this.#join(name), Object.hasOwn(members, name) ? members[name] : undefined);
  }

  /** Names and values of an object, in the order of the document. */
  entries(): [string, Json][] {
    return Object.entries(this.#members()).map(([name, value]) => [
      name,
      new Json(this.#file, this.#join(name), value),
    ]);
  }

  items(): Json[] {
    const value = this.#value;
    if (!Array.isArray(value)) return this.#not("a list");
    return value.map((item: unknown, i) => new Json(this.#file, `${this.path}[${i}]`, item));
  }

  string(): string {
    return typeof this.#value === "string" ? this.#value : this.#not("a string");
  }

  oneOf<T extends string>(allowed: readonly T[]): T {
    const found = allowed.find((word) => word === this.#value);
    return found ?? this.#not(`one of ${allowed.map((word) => `"${word}"`).join(", ")}`);
  }

  boolean(): boolean {
    return typeof this.#value === "boolean" ? this.#value : this.#not("true or false");
  }

  /** A whole number in [0, max]. */
  count(max: number): number {
    const value = this.#value;
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > max) {
      return this.#not(`a whole number in 0..${max}`);
    }
    return value;
  }

  /** A hexadecimal string of at most `bits` bits. */
  hex(bits = 64): bigint {
    const value = this.#value;
    if (typeof value !== "string" || !/^0x[0-9a-f]+$/i.test(value)) {
      return this.#not('a hexadecimal string such as "0x1f"');
    }
    const number = BigInt(value);
    return number >> BigInt(bits) ? this.refuse(`${show(value)} has more than ${bits} bits`) : number;
  }

  /** A hexadecimal string, or a whole number as it is. */
  bits(bits = 64): bigint {
    return this.isNumber ? BigInt(this.count(Number.MAX_SAFE_INTEGER)) : this.hex(bits);
  }

  #not(wanted: string): never {
    if (this.#value === undefined) this.refuse("is missing");
    return this.refuse(`${show(this.#value)} is not ${wanted}`);
  }

  #members(): Record<string, unknown> {
    const value = this.#value;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      return this.#not("an object");
    }
    return value as Record<string, unknown>;
  }

  #join(name: string): string {
    const step = /^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name);
    return this.path === "" ? step : `${this.path}.${step}`;
  }
}

/** A document a line; empty lines are skipped. Lines count from 1. */
export function jsonLines(file: string, text: string): { json: Json; line: number }[] {
  return text
    .split("\n")
    .map((content, i) => ({ content, line: i + 1 }))
    .filter(({ content }) => content.trim() !== "")
    .map(({ content, line }) => ({ json: Json.parse(`${file}: line ${line}`, content), line }));
}

function show(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text;
}
