'use strict';
/** The data model: compiled again when a file of it changes, and the last one that compiled is served meanwhile. */
const fs = require('fs');
const path = require('path');
const { CompilerApi } = require('@cubejs-backend/server-core/dist/src/core/CompilerApi.js');
const { locate } = require('./model-error');

const FILES = /\.(js|ya?ml|jinja|py)$/;

/** The files of a folder, by their path in it. */
function files(folder) {
  return fs.readdirSync(folder, { recursive: true }).filter((name) => FILES.test(name)).sort();
}

/** What Cube calls a repository: where the compiler gets the files from. */
function repository(folder) {
  return {
    localPath: () => folder,
    dataSchemaFiles: async () => files(folder).map((fileName) => ({
      fileName, content: fs.readFileSync(path.join(folder, fileName), 'utf8'),
    })),
  };
}

class LastGoodModel extends CompilerApi {
  /** @param {string} folder Where the model's files are. */
  constructor(repository, dbType, options, folder) {
    super(repository, dbType, options);
    this.folder = folder;
    this.tried = null;
    /** @type {Promise<void>} */
    this.attempt = Promise.resolve();
    this.good = null;
    /** @type {string | null} What is wrong with the files as they are now, with file and line. */
    this.problem = null;
  }

  /** Changes with any change of the files; costs one system call a file. */
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
      const compilers = await this.compileSchema(state);
      this.good = compilers;
      this.compilers = Promise.resolve(compilers);
      this.graphqlSchema = undefined;
      this.problem = null;
    } catch (error) {
      this.problem = locate(error, this.folder);
      this.logger('Model error', { error: this.problem, serving: this.good ? 'the last good model' : 'no model' });
    }
  }
}

module.exports = { LastGoodModel, repository };
