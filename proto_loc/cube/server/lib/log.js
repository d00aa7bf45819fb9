'use strict';
/** The log: one JSON object per line; only warnings and errors, unless developer mode is on. */

const KEPT = ['error', 'warning', 'serving', 'duration', 'requestId', 'query'];

/** @param {string} message @param {Record<string, unknown>} [more] */
function line(message, more = {}) {
  console.log(JSON.stringify({ message, ...more }));
}

/**
 * Make Cube's `logger`. It never logs tokens or results.
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
