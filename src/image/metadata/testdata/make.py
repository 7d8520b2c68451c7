"""Writes the files beside it that README.md says are Pillow's. Needs Pillow 11 or later."""
import json
from PIL import Image
from PIL.PngImagePlugin import PngInfo

A1111 = "a cat\nNegative prompt: ugly, bad\nSteps: 3, Sampler: Euler a, CFG scale: 7, Seed: 1234567890123, Size: 64x64"
GRAPH = {
    "3": {"class_type": "KSampler", "inputs": {
        "seed": 18446744073709551615, "steps": 20, "cfg": 6.5, "sampler_name": "dpmpp_2m", "scheduler": "karras",
        "denoise": 1.0, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl/sd_xl_base_1.0.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 832, "height": 1216, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a \"grün\" lighthouse", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "text, watermark", "clip": ["4", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
}
image = Image.new("RGB", (8, 8), (200, 40, 40))

# As ComfyUI's SaveImage and SaveAnimatedWEBP do.
info = PngInfo()
info.add_text("prompt", json.dumps(GRAPH))
info.add_text("workflow", json.dumps({"nodes": [], "links": []}))
image.save("comfyui.png", pnginfo=info)
exif = image.getexif()
exif[0x0110] = "prompt:" + json.dumps(GRAPH)
exif[0x010F] = "workflow:" + json.dumps({"nodes": [], "links": []})
image.save("comfyui.webp", exif=exif)

# Compressed, as programs do that write all texts of a PNG anew.
info = PngInfo()
info.add_text("parameters", A1111, zip=True)
image.save("compressed.png", pnginfo=info)

# Where no EXIF is written.
image.save("comment.jpg", comment=A1111)

exif = Image.Exif()
exif[0x9C9C] = A1111.encode("utf-16le") + b"\0\0"
image.save("xpcomment.jpg", exif=exif)

# EXIF's own directory, in the byte order and with the code that the name says.
for name, code, text in [("unicode-le", b"UNICODE\0", A1111.encode("utf-16le")), ("unicode-be", b"UNICODE\0", A1111.encode("utf-16be")),
                         ("undefined", b"\0" * 8, A1111.encode()), ("jis", b"JIS\0\0\0\0\0", A1111.encode("iso2022_jp"))]:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = code + text
    image.save(f"{name}.jpg", exif=exif)

# A JPEG's EXIF that was kept in a PNG and in an AVIF.
exif = Image.Exif()
exif[0x0131] = "Pillow"
exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + A1111.encode("utf-16be")
image.save("exif.png", exif=exif)
image.save("exif.avif", exif=exif)
