// DOMPurify as a module. npm's module of it is three times as large as its small file, which sets a global name instead.
import "./purify.min.js";

export default globalThis.DOMPurify;
