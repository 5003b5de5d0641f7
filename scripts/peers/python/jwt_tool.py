"""PyJWT, both ways.

    python jwt_tool.py sign ALG KEYFILE CLAIMS-JSON [KID]      prints the token
    python jwt_tool.py verify ALG KEYFILE TOKEN                prints the claims as JSON, or exits with 1 and the reason
"""

import json
import pathlib
import sys
import warnings

import jwt

warnings.simplefilter("ignore")  # the demo's secret is short, and PyJWT says so
verb, algorithm, key_file, subject, *kid = sys.argv[1:]
key = pathlib.Path(key_file).read_bytes()
try:
    if verb == "sign":
        print(jwt.encode(json.loads(subject), key, algorithm, headers={"kid": kid[0]} if kid else None))
    else:
        print(json.dumps(jwt.decode(subject, key, [algorithm], options={"verify_aud": False})))
except jwt.PyJWTError as error:
    sys.exit(f"jwt_tool: {error}")
