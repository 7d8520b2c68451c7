/** @file The base class of schedulers that read alpha-bar at training timesteps: DDIM, DDPM, PNDM, LCM, TCD. */

import { InvalidRequest } from "../../errors.js";
import { type Level, levelOfAlphaBar, velocity } from "../prediction.js";
import { weightedSum } from "../vector.js";
import { BaseScheduler } from "./base-scheduler.js";

export abstract class AlphaScheduler extends BaseScheduler {
  readonly initNoiseSigma = 1;

  scaleModelInput(sample: Float32Array): Float32Array {
    return sample;
  }

  addNoise(original: Float32Array, noise: Float32Array, timestep: number): Float32Array {
    const { alpha, sigma } = this.level(timestep);
    return weightedSum([alpha, original], [sigma, noise]);
  }

  /** The target of a v-prediction network: alpha * noise - sigma * sample. All float32[N * C * H * W]. */
  getVelocity(sample: Float32Array, noise: Float32Array, timestep: number): Float32Array {
    return velocity(sample, noise, this.level(timestep));
  }

  protected level(timestep: number): Level {
    return levelOfAlphaBar(this.alphaBar(timestep));
  }

  /** Alpha-bar at a training timestep. Throws InvalidRequest for any other timestep. */
  protected alphaBar(timestep: number): number {
    const value = this.noiseSchedule.alphasCumprod[timestep];
    if (value !== undefined) return value;
    const last = this.noiseSchedule.alphasCumprod.length - 1;
    throw new InvalidRequest("timestep", timestep, `must be an integer from 0 to ${last}, got ${timestep}.`);
  }

  /** Alpha-bar before timestep 0: 1, or with set_alpha_to_one false that of timestep 0. */
  protected alphaBarBefore(timestep: number): number {
    if (timestep >= 0) return this.alphaBar(timestep);
    return this.settings.setAlphaToOne ? 1 : this.alphaBar(0);
  }
}
