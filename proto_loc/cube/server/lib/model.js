'use strict';
/** The data model: it is compiled when a file changes; until that succeeds, the last good model is served. */
const fs = require('fs');
const path = require('path');
const { CompilerApi } = require('@cubejs-backend/server-core/dist/src/core/CompilerApi.js');
const { isFallbackBuild } = require('@cubejs-backend/native');
const { locate } = require('./model-error');

const FILES = /\.(js|ya?ml|jinja|py)$/;

/** The model files of a folder, as paths relative to it; a fork without metrics has no folder, as git keeps no empty one. */
function files(folder) {
  if (!fs.existsSync(folder)) return [];
  return fs.readdirSync(folder, { recursive: true }).filter((name) => FILES.test(name)).sort();
}

function read(folder) {
  return files(folder).map((fileName) => ({ fileName, content: fs.readFileSync(path.join(folder, fileName), 'utf8') }));
}

/** Cube's repository: the source of files for the compiler. */
function repository(folder) {
  return { localPath: () => folder, dataSchemaFiles: async () => read(folder) };
}

class LastGoodModel extends CompilerApi {
  /** @param {string} folder The folder of the model's files. */
  constructor(repository, dbType, options, folder) {
    super(repository, dbType, options);
    this.folder = folder;
    this.tried = null;
    /** @type {Promise<void>} */
    this.attempt = Promise.resolve();
    this.good = null;
    /** @type {string | null} The error in the current files, with file and line. */
    this.problem = null;
  }

  /** A text that changes with any change of the files; it costs one system call per file. */
  state() {
    return files(this.folder).map((name) => {
      const { mtimeMs, size, ino } = fs.statSync(path.join(this.folder, name), { throwIfNoEntry: false }) || {};
      return `${name} ${ino} ${mtimeMs} ${size}`;
    }).join('\n');
  }

  async getCompilers() {
    const state = this.state();
    if (state !== this.tried) {
      this.tried = state;
      this.attempt = this.#compile(state);
    }
    await this.attempt;
    if (!this.good) throw new Error(this.problem);
    return this.good;
  }

  async #compile(state) {
    try {
      const python = state.split('\n').find((line) => /\.py /.test(line));
      if (python && isFallbackBuild()) await this.nativeInstance.getNative().pythonLoadModel(python); // throws the reason
      const compilers = await this.compileSchema(state);
      if (state !== this.tried) return; // the files changed again, so the later attempt decides
      this.good = compilers;
      this.compilers = Promise.resolve(compilers);
      this.graphqlSchema = undefined;
      this.problem = null;
      this.goodState = state;
    } catch (error) {
      this.problem = this.#located(error, state);
      this.logger('Model error', { error: this.problem, serving: this.good ? 'the last good model' : 'no model' });
    }
  }

  #located(error, state) {
    try {
      const before = new Set((this.goodState || '').split('\n'));
      const changed = state.split('\n').filter((line) => line && !before.has(line)).map((line) => line.split(' ')[0]);
      return locate(error, read(this.folder), changed);
    } catch {
      return String(error.message || error); // a file was deleted meanwhile
    }
  }
}

module.exports = { LastGoodModel, repository };
