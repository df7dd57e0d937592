// Camera and microphone, and in words why there is none.

const REASONS = {
  NotFoundError: 'No camera or microphone was found. Connect one and try again.',
  NotAllowedError: 'The browser was not allowed to use camera and microphone. ' +
                   'Allow it in the address bar and try again.',
  NotReadableError: 'Camera or microphone is in use by another program.',
  OverconstrainedError: 'The camera cannot give the asked size.',
};

// A stream with the picture and the sound asked for. Throws an Error whose message can be shown.
export async function openDevices({picture = true, sound = true} = {}) {
  if (!navigator.mediaDevices) {
    throw new Error('Browsers give camera and microphone only to pages opened by https:// or ' +
                    'from localhost. Open this page that way.');
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      video: picture && {width: {ideal: 1280}, height: {ideal: 720}, frameRate: {ideal: 30}},
      audio: sound,
    });
  } catch (error) {
    throw new Error(REASONS[error.name] ?? `Camera or microphone failed: ${error.message}`,
                    {cause: error});
  }
}
