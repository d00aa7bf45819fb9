'use strict';
/** Whether Cube takes a model: `node check.js FOLDER` prints what its compiler refuses, with file and line, and ends with 1. */
require('./lib/native').choose(process.env.CUBE_NATIVE); // before anything else of Cube's is loaded
const { LastGoodModel, repository } = require('./lib/model');

const folder = process.argv[2];
const model = new LastGoodModel(repository(folder), () => 'duckdb', { logger: () => {} }, folder);
model.getCompilers().then(() => process.exit(0), (error) => {
  console.log(error.message);
  process.exit(1);
});
