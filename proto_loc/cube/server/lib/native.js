'use strict';
/**
 * Chooses the implementation of `@cubejs-backend/native`: the addon if it is installed and loads, otherwise the stand-in of
 * `proto_loc/standins`, which replaces it in memory.
 */
const native = require('@cubejs-backend/native');

/**
 * Choose the implementation; call this before any other module of Cube is loaded.
 *
 * @param {'auto' | 'required' | 'off'} mode
 * @returns {{kind: 'addon' | 'stand-in', why: string}}
 */
function choose(mode) {
  let why = 'LOC_CUBE_NATIVE=off';
  if (mode !== 'off') {
    try {
      native.loadNative();
      return { kind: 'addon', why: '' };
    } catch (error) {
      why = error.message;
      if (mode === 'required') throw new Error(`LOC_CUBE_NATIVE=required, and there is no native addon: ${why}`);
    }
  }
  const standIn = require('../../../standins/cube-native');
  for (const name of Object.keys(standIn)) if (typeof native[name] === 'function') native[name] = standIn[name];
  native.loadNative = () => standIn;
  native.NativeInstance.prototype.getNative = () => standIn;
  return { kind: 'stand-in', why };
}

module.exports = { choose };
