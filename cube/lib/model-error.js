'use strict';
/** Where in the files of the model an error of Cube's compiler is. */
const fs = require('fs');
const path = require('path');

/**
 * The error in one text, each part of it with its file and, where it can be told, its line.
 *
 * @param {Error & {plainMessages?: string, messages?: string}} error
 * @param {string} folder Of the model.
 */
function locate(error, folder) {
  return String(error.plainMessages || error.messages || error.message || error).trim();
}

module.exports = { locate };
