"""PyJWT, both ways.

    python jwt_tool.py < CASES      each a line of JSON:
      {"verb":"sign","alg":...,"key":FILE,"claims":{...},"kid":...}      is answered {"token":...}
      {"verb":"verify","alg":...,"key":FILE,"token":...}                 is answered {"claims":...}

What it does not do is answered {"error":...}.
"""

import pathlib
import warnings

import cases
import jwt


def answer(case: dict) -> dict:
    key = pathlib.Path(case["key"]).read_bytes()
    algorithm = case["alg"]
    try:
        if case["verb"] == "verify":
            return {"claims": jwt.decode(case["token"], key, [algorithm], options={"verify_aud": False})}
        headers = {"kid": case["kid"]} if case.get("kid") else None
        return {"token": jwt.encode(case["claims"], key, algorithm, headers=headers)}
    except jwt.PyJWTError as error:
        return {"error": str(error)}


warnings.simplefilter("ignore")  # the demo's secret is short, and PyJWT says so
cases.print_all(map(answer, cases.read()))
