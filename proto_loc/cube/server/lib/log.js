'use strict';
/** The log: one JSON object a line, warnings and errors only unless a developer asks for more. */

const KEPT = ['error', 'warning', 'serving', 'duration', 'requestId', 'query'];

/** @param {string} message @param {Record<string, unknown>} [more] */
function line(message, more = {}) {
  console.log(JSON.stringify({ message, ...more }));
}

/**
 * Cube's `logger`. Tokens and results never reach the log.
 *
 * @param {boolean} all
 */
function logger(all) {
  return (message, params = {}) => {
    if (!all && !params.error && !params.warning) return;
    const kept = Object.fromEntries(KEPT.filter((name) => params[name] !== undefined).map((name) => [name, params[name]]));
    line(message, kept);
  };
}

module.exports = { line, logger };
