'use strict';
/**
 * Loads the packages of this server from `CUBE_MODULES` (`node --require`): where LOC_ENVIRONMENTS has them, none is installed
 * beside the server's own files, and if one is, it is not used.
 */
const { createRequire, isBuiltin, registerHooks } = require('module');
const path = require('path');
const { pathToFileURL } = require('url');

const own = pathToFileURL(path.resolve(__dirname, '../../..') + path.sep).href;
const packages = createRequire(path.join(process.env.CUBE_MODULES, 'server.js'));

registerHooks({
  resolve(name, context, next) {
    const packaged = context.parentURL?.startsWith(own) && !context.parentURL.includes('/node_modules/')
      && /^[@a-z]/.test(name) && !isBuiltin(name);
    return next(packaged ? packages.resolve(name) : name, context);
  },
});
