// SPDX-License-Identifier: Apache-2.0
//
// media.mjs - ffmpeg as publisher and player.
import path from 'node:path';
import { Background, must, run } from './process.mjs';

// Frame n of the picture carries its own number: 16 blocks of 40 pixels along the top, the lowest bit first,
// white for 1. See web pages' side in clock.mjs.
const NUMBERED = "testsrc2=size=640x360:rate=30,format=yuv420p[p];color=size=640x32:rate=30,format=gray," +
    "geq=lum='255*mod(floor(N/pow(2,floor(X/40))),2)',format=yuv420p[n];[p][n]overlay=0:0";

const ENCODE = ['-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-profile:v', 'baseline', '-bf', '0',
    '-sc_threshold', '0', '-b:v', '600k', '-maxrate', '600k', '-bufsize', '300k'];
const SOUND = ['-c:a', 'aac', '-b:a', '96k', '-ar', '48000', '-ac', '2'];

// A file of testsrc and a tone: seconds long, a keyframe every gop frames, 30 frames a second. As it is, who comes within eight seconds
// of its publishing gets all of it, from the cache.
export async function makeFile(file, { seconds = 6, gop = 240, audio = true, extra = [] } = {}) {
    await must('ffmpeg', ['-v', 'error', '-y', '-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=30',
        ...(audio ? ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000'] : []),
        '-t', `${seconds}`, '-pix_fmt', 'yuv420p', ...ENCODE, '-g', `${gop}`, '-keyint_min', `${gop}`,
        ...(audio ? SOUND : []), ...extra, file]);
    return file;
}

let publishers = 0;

// Publishes a file as it is, once, at its own speed. Ends by itself.
export function publishFile(cluster, file, url) {
    return cluster.add(new Background('publisher', 'ffmpeg', ['-v', 'warning', '-nostdin', '-re', '-i', file, '-c', 'copy',
        '-flvflags', 'no_duration_filesize', '-f', 'flv', url], { log: cluster.log(`publisher-${++publishers}`) }));
}

// Publishes numbered pictures and a beep a second until stopped.
export function publishLive(cluster, url, { gop = 60, audio = true } = {}) {
    return cluster.add(new Background('publisher', 'ffmpeg', ['-v', 'warning', '-nostdin', '-re', '-f', 'lavfi', '-i', NUMBERED,
        ...(audio ? ['-re', '-f', 'lavfi', '-i', 'sine=frequency=440:beep_factor=4:sample_rate=48000'] : []),
        '-pix_fmt', 'yuv420p', ...ENCODE, '-g', `${gop}`, '-keyint_min', `${gop}`, ...(audio ? SOUND : []),
        '-flvflags', 'no_duration_filesize', '-f', 'flv', url], { log: cluster.log(`publisher-${++publishers}`) }));
}

// Reads FLV to its end, decoding all: {frames, audioSeconds, streams}. Rejects when ffprobe complains.
export async function probe(url, { seconds = 0, timeout_ms = 30_000 } = {}) {
    const { stdout } = await must('ffprobe', ['-v', 'error', ...(url.startsWith('http') ? ['-rw_timeout', '8000000'] : []),
        '-count_frames', ...(seconds ? ['-read_intervals', `%+${seconds}`] : []),
        '-show_entries', 'stream=codec_type,codec_name,width,height,nb_read_frames,sample_rate', '-of', 'json', url],
    { timeout_ms });
    const { streams } = JSON.parse(stdout);
    const video = streams.find((s) => s.codec_type === 'video');
    const audio = streams.find((s) => s.codec_type === 'audio');
    return {
        streams,
        frames: Number(video?.nb_read_frames ?? 0),
        audioSeconds: audio ? (Number(audio.nb_read_frames) * 1024) / Number(audio.sample_rate) : 0,
    };
}

// Saves what comes from url until it ends; resolves to {status, output} of ffmpeg.
export function save(url, file, { timeout_ms = 30_000 } = {}) {
    return run('ffmpeg', ['-v', 'error', '-nostdin', '-y', '-rw_timeout', '8000000', '-i', url, '-c', 'copy', path.resolve(file)],
        { timeout_ms });
}
