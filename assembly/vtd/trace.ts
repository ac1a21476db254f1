/** The modes in which VT-d's walks are compiled. */
export { begin, check, Exact, Fast, fetch, isMissing, marks, step, Traced, updateAt } from "../modes";
