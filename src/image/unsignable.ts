/** @file Why an image of a format has no content credentials, which is said before anything is generated or signed. */

export const unsignable =
  "must be for PNG or JPEG, got webp, which takes no content credentials here. Save as another format, or do not sign.";
