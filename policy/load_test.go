package policy

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/curfew-proxy/curfew/cookie"
)

type envMap map[string]string

func (e envMap) get(name string) string { return e[name] }

// madeSecret is a good secret that anybody can derive: for tests only.
func madeSecret(name string) string {
	sum := sha256.Sum256([]byte("curfew config test " + name))
	return base64.StdEncoding.EncodeToString(sum[:])
}

var (
	secretA, secretB = madeSecret("a"), madeSecret("b")
	// hexSecret could be the name of a variable.
	hexSecret = "f" + strings.Repeat("0123456789abcdef", 4)[1:]

	oneKey = envMap{"K": secretA}
	noKey  = envMap{}
)

const (
	keysPart  = `"keys":[{"id":"a","secret_env":"K"}]`
	loginPart = `"login":{"url":"/login"}`
	minimal   = `{` + keysPart + `,` + loginPart + `}`
	// openElsewhere lets a cookie of the path /shop do.
	openElsewhere = `"rules":[{"path_prefix":"/shop"},{"path_prefix":"/","session":"optional"}]`
)

// The following put a few fields into an otherwise minimal config.

func withTop(more string) string  { return `{` + keysPart + `,` + loginPart + `,` + more + `}` }
func withKeys(list string) string { return `{"keys":` + list + `,` + loginPart + `}` }
func withKey(more string) string  { return withKeys(`[{"id":"a",` + more + `}]`) }
func withTwo(a, b string) string  { return withKeys(`[{` + a + `},{` + b + `}]`) }
func withLogin(f string) string   { return `{` + keysPart + `,"login":{` + f + `}}` }
func withCookie(f string) string  { return withTop(`"cookie":{` + f + `}`) }
func withTimes(f string) string   { return withTop(`"timeouts":{` + f + `}`) }
func withLogout(f string) string  { return withTop(`"logout":{` + f + `}`) }
func withRule(f string) string    { return withTop(`"rules":[{` + f + `}]`) }
func withHeader(f string) string  { return withTop(`"headers":{` + f + `}`) }
func withWrap(more string) string { return withTop(`"cookie":{"mode":"sealed"},"wrap":` + more) }
func withDjango(f string) string  { return withTop(`"django_messages":{` + f + `}`) }
func withFeed(more string) string {
	return withTop(`"revoke":{"feed":{"cluster":"app","path":"/revoked"` + more + `}}`)
}
func withInsecure(more string) string { return withTop(`"allow_insecure":true,` + more) }

// badConfigs are refused with field, value and rule as they stand here (value and rule may be parts).
// seen says whether the JSON Schema refuses it too (schema), or why it cannot: the text is no JSON or
// has a key twice (syntax), is too long (size), the environment decides (env), two values do together
// (relation), the sum of a duration's units does (sum), UTF-8's length does (bytes) or a guess at
// how random a secret is (random).
var badConfigs = []struct {
	name, json, field, value, rule string
	env                            envMap
	seen                           string
}{
	{"CF-341 empty", ``, "config", "", "is empty", oneKey, "syntax"},
	{"CF-341 blank", " \n\t", "config", "", "is empty", oneKey, "syntax"},
	{"CF-342 null", `null`, "config", "(hidden)", "JSON object", oneKey, "schema"},
	{"CF-342 list", `[` + minimal + `]`, "config", "[...]", "JSON object", oneKey, "schema"},
	{"CF-342 string, which may hold secrets", `"{\"keys\":[{\"secret\":\"x\"}]}"`, "config", "(hidden)", "JSON object", oneKey, "schema"},
	{"CF-342 number", `7`, "config", "(hidden)", "JSON object", oneKey, "schema"},
	{"CF-344 BOM", "\ufeff" + minimal, "config", "", "byte order mark", oneKey, "syntax"},
	{"CF-345 trailing comma", `{` + keysPart + `,` + loginPart + `,}`, "config", "", "trailing commas", oneKey, "syntax"},
	{"CF-345 comment", `{/* */` + keysPart + `,` + loginPart + `}`, "config", "", "comments", oneKey, "syntax"},
	{"CF-345 trailing bytes", minimal + `{}`, "config", "", "text after the end", oneKey, "syntax"},
	{"CF-345 NUL after the end", minimal + "\x00", "config", "", "text after the end", oneKey, "syntax"},
	{"CF-345 single quotes", `{'keys':[]}`, "config", "", "not valid JSON", oneKey, "syntax"},
	{"CF-345 broken UTF-8", withTop("\"revoke\":{\"subjects\":{\"\xff\":\"2026-11-20T08:00:00Z\"}}"), "config", "", "not valid JSON", oneKey, "syntax"},
	{"CF-346 duplicate key", withTop(`"report_only":true,"report_only":false`), "report_only", "false", "stands twice", oneKey, "syntax"},
	{"CF-346 duplicate key, escaped", withTop(`"audience":"a","audi\u0065nce":"b"`), "audience", `"b"`, "stands twice", oneKey, "syntax"},
	{"CF-346 duplicate keys", withTop(keysPart), "keys", "[...]", "stands twice", oneKey, "syntax"},
	{"CF-346 duplicate secret field", withKey(`"secret":"` + secretB + `","secret":"` + secretB + `"`), "keys[0].secret", "(hidden)", "stands twice", noKey, "syntax"},
	{"CF-346 duplicate header", withHeader(`"x-a":"id","x-a":"id"`), "headers.x-a", `"id"`, "stands twice", oneKey, "syntax"},
	{"CF-348 wrong case key", withTop(`"Cookie":{}`), "Cookie", "", "unknown field; known here: cookie, keys", oneKey, "schema"},
	{"CF-348 wrong case secret", withKey(`"Secret":"` + secretB + `"`), "keys[0].Secret", "", "unknown field", noKey, "schema"},
	{"CF-348 camel case", withCookie(`"sameSite":"Lax"`), "cookie.sameSite", "", "known here: name, mode", oneKey, "schema"},
	{"CF-348 secret at the top", withTop(`"secret":"` + secretB + `"`), "secret", "", "unknown field", oneKey, "schema"},
	{"CF-348 a name of 1,000 bytes", withTop(`"` + strings.Repeat("x", 1000) + `":1`), strings.Repeat("x", 400) + "...", "", "unknown field", oneKey, "schema"},
	{"CF-348 unknown in login", withLogin(`"url":"/login","uri":"/x"`), "login.uri", "", "unknown field", oneKey, "schema"},
	{"CF-348 unknown in rule", withRule(`"path":"/","prefix":"/"`), "rules[0].prefix", "", "unknown field", oneKey, "schema"},
	{"CF-348 unknown in browser", withTop(`"browser":{"folder":"/a/"}`), "browser.folder", "", "unknown field; known here: path", oneKey, "schema"},
	{"CF-348 unknown in streams", withTop(`"streams":{"absolute":"close"}`), "streams.absolute", "", "known here: idle, activity", oneKey, "schema"},
	{"browser.warn too short to act", withTop(`"browser":{"warn":"19s"}`), "browser.warn", `"19s"`, "from 20s", oneKey, "schema"},
	{"browser.path outside the cookie's", withTop(`"cookie":{"name":"__Secure-s","path":"/shop"},"rules":[{"path_prefix":"/shop"},{"path_prefix":"/","session":"optional"}],"browser":{"path":"/.session/"}`), "browser.path", "/.session/", "outside cookie.path (/shop)", oneKey, "meaning"},
	{"streams.idle unknown", withTop(`"streams":{"idle":"keep"}`), "streams.idle", `"keep"`, "close, ignore", oneKey, "schema"},
	{"streams.activity for nothing", withTop(`"streams":{"idle":"ignore","activity":true}`), "streams.activity", "true", "leave either out", oneKey, "schema"},
	{"CF-348 unknown in django_messages", withDjango(`"secret_env":"K","level":"info"`), "django_messages.level", "", "known here: secret_env, secret, text", oneKey, "schema"},
	{"CF-349 keys missing", `{` + loginPart + `}`, "keys", "", "at least one key", oneKey, "schema"},
	{"CF-349 keys null", withKeys(`null`), "keys", "(hidden)", "must be a list", oneKey, "schema"},
	{"CF-349 keys an object", withKeys(`{"id":"a","secret":"` + secretB + `"}`), "keys", "{...}", "must be a list", oneKey, "schema"},
	{"CF-349 keys a string", withKeys(`"` + secretB + `"`), "keys", "(hidden)", "must be a list", oneKey, "schema"},
	{"CF-349 key a string", withKeys(`["` + secretB + `"]`), "keys[0]", "(hidden)", "JSON object", oneKey, "schema"},
	{"CF-349 id missing", withKeys(`[{"secret_env":"K"}]`), "keys[0].id", "", "1 to 16", oneKey, "schema"},
	{"CF-349 id empty", withKeys(`[{"id":"","secret_env":"K"}]`), "keys[0].id", `""`, "1 to 16", oneKey, "schema"},
	{"CF-349 id long", withKeys(`[{"id":"12345678901234567","secret_env":"K"}]`), "keys[0].id", "12345678901234567", "1 to 16", oneKey, "schema"},
	{"CF-349 id with a dot", withKeys(`[{"id":"a.b","secret_env":"K"}]`), "keys[0].id", "a.b", "A-Z a-z", oneKey, "schema"},
	{"CF-349 id made a number by YAML", withKeys(`[{"id":202401,"secret_env":"K"}]`), "keys[0].id", "202401", "in quotes", oneKey, "schema"},
	{"CF-349 id made a boolean by YAML", withKeys(`[{"id":true,"secret_env":"K"}]`), "keys[0].id", "true", "in quotes", oneKey, "schema"},
	{"CF-349 no secret", withKeys(`[{"id":"a"}]`), "keys[0].secret_env", "", "either secret_env", oneKey, "schema"},
	{"CF-349 both secrets", withKey(`"secret_env":"K","secret":"` + secretB + `"`), "keys[0].secret_env", "", "either secret_env", oneKey, "schema"},
	{"CF-349 variable not set", withKey(`"secret_env":"MISSING"`), "keys[0].secret_env", "MISSING", "host_env_keys", oneKey, "env"},
	{"CF-349 variable's name has a dash", withKey(`"secret_env":"MY-KEY"`), "keys[0].secret_env", "(hidden)", "name of an environment variable", oneKey, "schema"},
	{"CF-349 variable's name begins with a digit", withKey(`"secret_env":"1K"`), "keys[0].secret_env", "(hidden)", "name of an environment variable", oneKey, "schema"},
	{"CF-349 variable's name empty", withKey(`"secret_env":""`), "keys[0].secret_env", "(hidden)", "name of an environment variable", oneKey, "schema"},
	{"CF-349 variable's name a number", withKey(`"secret_env":1`), "keys[0].secret_env", "(hidden)", "in quotes", oneKey, "schema"},
	{"CF-349 secret for a variable's name", withKey(`"secret_env":"` + secretB + `"`), "keys[0].secret_env", "(hidden)", "the secret itself goes into", oneKey, "schema"},
	{"CF-349 hex secret for a variable's name", withKey(`"secret_env":"` + hexSecret + `"`), "keys[0].secret_env", "(hidden)", "not set", oneKey, "env"},
	{"CF-350 short", withKey(`"secret":"Jk3-short-x9Qf"`), "keys[0].secret", "(hidden)", "openssl rand", oneKey, "schema"},
	{"CF-350 one byte short", withKey(`"secret":"zR7qLw0-nX4vTb9.kYc2mHs6pDf8gJa"`), "keys[0].secret", "(hidden)", "is short", oneKey, "schema"},
	{"CF-350 short in the variable", minimal, "keys[0].secret_env", "(hidden)", "is short", envMap{"K": "Jk3-short-x9Qf"}, "env"},
	{"CF-350 secret a number", withKey(`"secret":12345678901234567890123456789012345`), "keys[0].secret", "(hidden)", "in quotes", oneKey, "schema"},
	{"CF-350 zeros", withKey(`"secret":"` + strings.Repeat("A", 43) + `="`), "keys[0].secret", "(hidden)", "easily guessed", oneKey, "random"},
	{"CF-350 counting", withKey(`"secret":"0123456789:;<=>?@ABCDEFGHIJKLMNO"`), "keys[0].secret", "(hidden)", "easily guessed", oneKey, "random"},
	{"CF-350 one word over and over", withKey(`"secret":"hunter2-hunter2-hunter2-hunter2-"`), "keys[0].secret", "(hidden)", "easily guessed", oneKey, "random"},
	{"CF-352 two keys, same id", withTwo(`"id":"a","secret_env":"K"`, `"id":"a","secret":"`+secretB+`"`), "keys[1].id", `"a"`, "another key has this id", oneKey, "relation"},
	{"CF-352 two keys, same variable", withTwo(`"id":"a","secret_env":"K"`, `"id":"b","secret_env":"K"`), "keys[1].secret_env", "(hidden)", "same secret", oneKey, "relation"},
	{"CF-352 two keys, same secret", withTwo(`"id":"a","secret_env":"K"`, `"id":"b","secret":"`+secretA+`"`), "keys[1].secret", "(hidden)", "same secret", oneKey, "relation"},
	{"CF-353 zero keys", withKeys(`[]`), "keys", "[...]", "at least one key", oneKey, "schema"},
	{"CF-354 sample key", withKey(`"secret":"REPLACE-ME-with-32-random-bytes-of-yours"`), "keys[0].secret", "(hidden)", "sample", oneKey, "schema"},
	{"CF-354 sample key, any case", withKey(`"secret":"my-ChangeMe-key-f8Zk2lQx7vRb1nTw9"`), "keys[0].secret", "(hidden)", "sample", oneKey, "schema"},
	{"CF-354 sample key in the variable", minimal, "keys[0].secret_env", "(hidden)", "sample", envMap{"K": "an-example-key-that-is-long-enough-0"}, "env"},
	{"CF-354 published test key", minimal, "keys[0].secret_env", "(hidden)", "sample", envMap{"K": "47e0acbc4dded2688a34972855dbff0895988a706767bbf330326062dc17b3d1"}, "env"},
	{"CF-355 not a time", withKey(`"secret_env":"K","sign_from":"2026-11-01"`), "keys[0].sign_from", "2026-11-01", "RFC 3339", oneKey, "schema"},
	{"CF-355 a time as a number", withKey(`"secret_env":"K","sign_from":1793491200`), "keys[0].sign_from", "1793491200", "in quotes", oneKey, "schema"},
	{"CF-355 hour of one digit", withKey(`"secret_env":"K","sign_from":"2026-11-01T8:00:00Z"`), "keys[0].sign_from", "T8:00", "RFC 3339", oneKey, "schema"},
	{"CF-355 comma for a point", withKey(`"secret_env":"K","sign_from":"2026-11-01T08:00:00,5Z"`), "keys[0].sign_from", "00,5Z", "RFC 3339", oneKey, "schema"},
	{"CF-355 before 1971 where it was written", withKey(`"secret_env":"K","sign_from":"1970-12-31T23:00:00-05:00"`), "keys[0].sign_from", "1970-12", "after 1970", oneKey, "schema"},
	{"CF-355 no leap year", withKey(`"secret_env":"K","sign_from":"2100-02-29T08:00:00Z"`), "keys[0].sign_from", "02-29", "RFC 3339", oneKey, "schema"},
	{"CF-355 an offset of a day", withKey(`"secret_env":"K","sign_from":"2026-11-01T08:00:00+24:00"`), "keys[0].sign_from", "+24:00", "RFC 3339", oneKey, "schema"},
	{"CF-355 no such day", withKey(`"secret_env":"K","sign_from":"2026-02-29T08:00:00Z"`), "keys[0].sign_from", "02-29", "RFC 3339", oneKey, "schema"},
	{"CF-355 before 1971", withKey(`"secret_env":"K","verify_until":"1970-01-01T00:00:00Z"`), "keys[0].verify_until", "1970-01-01", "after 1970", oneKey, "schema"},
	{"CF-355 ends before it begins", withKey(`"secret_env":"K","sign_from":"2026-11-02T00:00:00Z","verify_until":"2026-11-01T00:00:00Z"`), "keys[0].verify_until", "2026-11-01", "later than sign_from", oneKey, "relation"},
	{"CF-356 zero", withTimes(`"idle":"0s"`), "timeouts.idle", `"0s"`, "from 2s to 9600h", oneKey, "schema"},
	{"CF-356 zero touch", withTimes(`"touch":"0h0m"`), "timeouts.touch", `"0h0m"`, "from 1s to 9600h", oneKey, "schema"},
	{"CF-356 zero rotate", withTimes(`"rotate":"00000s"`), "timeouts.rotate", `"00000s"`, "from 1s to 9600h", oneKey, "schema"},
	{"CF-356 one second idle", withTimes(`"idle":"0m1s"`), "timeouts.idle", `"0m1s"`, "from 2s to 9600h", oneKey, "schema"},
	{"CF-356 negative", withTimes(`"idle":"-15m"`), "timeouts.idle", `"-15m"`, "GEP-2257", oneKey, "schema"},
	{"CF-356 plus", withTimes(`"idle":"+15m"`), "timeouts.idle", `"+15m"`, "GEP-2257", oneKey, "schema"},
	{"CF-356 overflow", withTimes(`"idle":"999999999999999999999s"`), "timeouts.idle", "99999", "GEP-2257", oneKey, "schema"},
	{"CF-356 six digits", withTimes(`"idle":"000900s"`), "timeouts.idle", "000900s", "GEP-2257", oneKey, "schema"},
	{"CF-356 fraction", withTimes(`"idle":"1.5h"`), "timeouts.idle", "1.5h", "GEP-2257", oneKey, "schema"},
	{"CF-356 milliseconds", withTimes(`"touch":"1500ms"`), "timeouts.touch", "1500ms", "GEP-2257", oneKey, "schema"},
	{"CF-356 days", withTimes(`"idle":"1d"`), "timeouts.idle", "1d", "GEP-2257", oneKey, "schema"},
	{"CF-356 no unit", withTimes(`"idle":"900"`), "timeouts.idle", "900", "GEP-2257", oneKey, "schema"},
	{"CF-356 only a unit", withTimes(`"idle":"m"`), "timeouts.idle", `"m"`, "GEP-2257", oneKey, "schema"},
	{"CF-356 empty", withTimes(`"idle":""`), "timeouts.idle", `""`, "GEP-2257", oneKey, "schema"},
	{"CF-356 a unit twice", withTimes(`"idle":"1m1m"`), "timeouts.idle", "1m1m", "GEP-2257", oneKey, "schema"},
	{"CF-356 capitals", withTimes(`"idle":"15M"`), "timeouts.idle", "15M", "GEP-2257", oneKey, "schema"},
	{"CF-356 space", withTimes(`"idle":"15m "`), "timeouts.idle", `"15m "`, "GEP-2257", oneKey, "schema"},
	{"CF-356 other digits", withTimes(`"idle":"１５m"`), "timeouts.idle", "１５m", "GEP-2257", oneKey, "schema"},
	{"CF-356 integer", withTimes(`"idle":900`), "timeouts.idle", "900", "in quotes", oneKey, "schema"},
	{"CF-356 float", withTimes(`"idle":9e2`), "timeouts.idle", "9e2", "in quotes", oneKey, "schema"},
	{"CF-356 null", withTimes(`"idle":null`), "timeouts.idle", "null", "in quotes", oneKey, "schema"},
	{"CF-356 skew over an hour", withTimes(`"clock_skew":"2h"`), "timeouts.clock_skew", "2h", "from 0s to 1h", oneKey, "schema"},
	{"CF-356 skew over an hour in seconds", withTimes(`"clock_skew":"3601s"`), "timeouts.clock_skew", "3601s", "from 0s to 1h", oneKey, "schema"},
	{"CF-356 skew over an hour in sum", withTimes(`"clock_skew":"1h1s"`), "timeouts.clock_skew", "1h1s", "from 0s to 1h", oneKey, "sum"},
	{"CF-356 timeouts a string", withTop(`"timeouts":"15m"`), "timeouts", `"15m"`, "JSON object", oneKey, "schema"},
	{"CF-357 absolute over 400 days", withTimes(`"absolute":"9601h"`), "timeouts.absolute", "9601h", "to 9600h", oneKey, "schema"},
	{"CF-357 absolute far over 400 days", withTimes(`"absolute":"1m99999h"`), "timeouts.absolute", "99999h", "to 9600h", oneKey, "schema"},
	{"CF-357 absolute over 400 days by a second", withTimes(`"absolute":"9600h1s"`), "timeouts.absolute", "9600h1s", "to 9600h", oneKey, "sum"},
	{"CF-357 remember over 400 days", withTop(`"remember":{"absolute":"10000h"}`), "remember.absolute", "10000h", "to 9600h", oneKey, "schema"},
	{"CF-357 idle over absolute", withTimes(`"idle":"2h","absolute":"1h"`), "timeouts.idle", "7200s", "timeouts.absolute (3600s)", oneKey, "relation"},
	{"CF-357 remember's idle over absolute", withTop(`"remember":{"idle":"721h"}`), "remember.idle", "2595600s", "remember.absolute", oneKey, "relation"},
	{"CF-357 idle under twice touch", withTimes(`"idle":"119s"`), "timeouts.idle", "119s", "twice timeouts.touch (60s)", oneKey, "relation"},
	{"CF-357 rule's idle under twice touch", withRule(`"path":"/a","idle":"1m"`), "rules[0].idle", "60s", "twice timeouts.touch", oneKey, "relation"},
	{"CF-358 __Host- with a domain", withCookie(`"domain":"shop.example"`), "cookie.domain", "shop.example", "__Secure-", oneKey, "schema"},
	{"CF-358 __Host- with a path", withCookie(`"path":"/shop"`), "cookie.path", "/shop", "__Secure-", oneKey, "schema"},
	{"CF-358 __Host- without secure", withInsecure(`"cookie":{"secure":false}`), "cookie.secure", "false", "without one", oneKey, "schema"},
	{"CF-358 named __Host- with a domain", withCookie(`"name":"__Host-s","domain":"shop.example"`), "cookie.domain", "shop.example", "__Host-", oneKey, "schema"},
	{"CF-358 __Secure- without secure", withInsecure(`"cookie":{"name":"__Secure-s","secure":false}`), "cookie.secure", "false", "without one", oneKey, "schema"},
	{"CF-358 domain with a dot in front", withCookie(`"name":"__Secure-s","domain":".shop.example"`), "cookie.domain", ".shop.example", "leading dot", oneKey, "schema"},
	{"CF-358 domain in capitals", withCookie(`"name":"__Secure-s","domain":"Shop.example"`), "cookie.domain", "Shop.example", "lower case", oneKey, "schema"},
	{"CF-358 domain with an attribute", withCookie(`"name":"__Secure-s","domain":"a.example; Secure"`), "cookie.domain", "a.example; Secure", "host name", oneKey, "schema"},
	{"CF-358 path with an attribute", withCookie(`"name":"__Secure-s","path":"/; Domain=a"`), "cookie.path", "/; Domain=a", "plain path", oneKey, "schema"},
	{"CF-358 path with a comma", withCookie(`"name":"__Secure-s","path":"/a,b"`), "cookie.path", "/a,b", "no comma", oneKey, "schema"},
	{"CF-358 path with anonymous", withTop(`"cookie":{"name":"__Secure-s","path":"/shop"},"anonymous":true,` + openElsewhere), "cookie.path", "/shop", "begin another in its place", oneKey, "schema"},
	{"CF-358 path with wrap", withTop(`"cookie":{"name":"__Secure-s","path":"/shop","mode":"sealed"},"wrap":["sessionid"],` + openElsewhere), "cookie.path", "/shop", "begin another in its place", oneKey, "schema"},
	{"CF-358 path that the rules leave", withCookie(`"name":"__Secure-s","path":"/shop"`), "cookie.path", "/shop", "a loop", oneKey, "relation"},
	{"CF-360 SameSite=None without secure", withInsecure(`"cookie":{"name":"s","secure":false,"same_site":"None"}`), "cookie.same_site", "None", "Secure", oneKey, "schema"},
	{"CF-360 partitioned without secure", withInsecure(`"cookie":{"name":"s","secure":false,"partitioned":true}`), "cookie.partitioned", "true", "Secure", oneKey, "schema"},
	{"CF-360 same_site in lower case", withCookie(`"same_site":"lax"`), "cookie.same_site", `"lax"`, "Lax, Strict, None", oneKey, "schema"},
	{"CF-360 insecure, not allowed", withCookie(`"name":"s","secure":false`), "cookie.secure", "false", "allow_insecure", oneKey, "schema"},
	{"CF-360 no prefix, not allowed", withCookie(`"name":"s"`), "cookie.name", "s", "allow_insecure", oneKey, "schema"},
	{"CF-360 secure made a string", withCookie(`"secure":"true"`), "cookie.secure", `"true"`, "true or false", oneKey, "schema"},
	{"CF-360 mode unknown", withCookie(`"mode":"encrypted"`), "cookie.mode", `"encrypted"`, "signed, sealed", oneKey, "schema"},
	{"CF-361 cookie name with ;", withCookie(`"name":"__Host-a;b"`), "cookie.name", "__Host-a;b", "semicolon", oneKey, "schema"},
	{"CF-361 cookie name with a space", withCookie(`"name":"__Host-a b"`), "cookie.name", "__Host-a b", "space", oneKey, "schema"},
	{"CF-361 cookie name with =", withCookie(`"name":"__Host-a=b"`), "cookie.name", "__Host-a=b", "equals", oneKey, "schema"},
	{"CF-361 cookie name with a line break", withCookie(`"name":"__Host-a\nb"`), "cookie.name", "__Host-a", "token", oneKey, "schema"},
	{"CF-361 cookie name empty", withCookie(`"name":""`), "cookie.name", "", "1 to 64", oneKey, "schema"},
	{"CF-361 cookie name of 5 KiB", withCookie(`"name":"__Host-` + strings.Repeat("a", 5120) + `"`), "cookie.name", "__Host-aaa", "1 to 64", oneKey, "schema"},
	{"CF-361 cookie name not ASCII", withCookie(`"name":"__Host-é"`), "cookie.name", "__Host-é", "token", oneKey, "schema"},
	{"CF-361 prefix in another case", withInsecure(`"cookie":{"name":"__host-s"}`), "cookie.name", "__host-s", "__Host- or __Secure-", oneKey, "schema"},
	{"CF-361 other prefix in another case", withInsecure(`"cookie":{"name":"__SECURE-s"}`), "cookie.name", "__SECURE-s", "__Host- or __Secure-", oneKey, "schema"},
	{"CF-362 header that we read", withHeader(`"purpose":"subject"`), "headers.purpose", `"subject"`, "belongs to no other party", oneKey, "schema"},
	{"CF-362 header that browsers own", withHeader(`"sec-fetch-user":"subject"`), "headers.sec-fetch-user", `"subject"`, "belongs to no other party", oneKey, "schema"},
	{"CF-362 header name with a space", withHeader(`"x a":"id"`), "headers.x a", `"id"`, "lower case", oneKey, "schema"},
	{"CF-362 header name with a line break", withHeader(`"x-a\r\nb":"id"`), "headers.x-a??b", `"id"`, "lower case", oneKey, "schema"},
	{"CF-362 header name in capitals", withHeader(`"X-User":"id"`), "headers.X-User", `"id"`, "lower case", oneKey, "schema"},
	{"CF-362 header name empty", withHeader(`"":"id"`), "headers", `"id"`, "lower case", oneKey, "schema"},
	{"CF-362 pseudo header", withHeader(`":path":"id"`), "headers.:path", `"id"`, "header name", oneKey, "schema"},
	{"CF-362 host", withHeader(`"host":"id"`), "headers.host", `"id"`, "no other party", oneKey, "schema"},
	{"CF-362 cookie", withHeader(`"cookie":"id"`), "headers.cookie", `"id"`, "no other party", oneKey, "schema"},
	{"CF-362 content-length", withHeader(`"content-length":"id"`), "headers.content-length", `"id"`, "no other party", oneKey, "schema"},
	{"CF-362 content_length, as CGI reads it", withHeader(`"content_length":"id"`), "headers.content_length", `"id"`, "no other party", oneKey, "schema"},
	{"CF-362 x-envoy-", withHeader(`"x-envoy-original-path":"id"`), "headers.x-envoy-original-path", `"id"`, "no other party", oneKey, "schema"},
	{"CF-362 the filter's own", withHeader(`"x-session-reason":"reason"`), "headers.x-session-reason", `"reason"`, "no other party", oneKey, "schema"},
	{"CF-362 the filter's own for errors", withHeader(`"x-session-error":"reason"`), "headers.x-session-error", `"reason"`, "no other party", oneKey, "schema"},
	{"CF-362 the filter's own, as CGI reads it", withHeader(`"x_session-error":"reason"`), "headers.x_session-error", `"reason"`, "no other party", oneKey, "schema"},
	{"CF-362 two of one name to CGI", withHeader(`"x-user-id":"id","x-user_id":"id"`), "headers.x-user_id", `"id"`, "but for - and _", oneKey, "relation"},
	{"CF-362 path unknown", withHeader(`"x-a":"user"`), "headers.x-a", `"user"`, "@this, subject", oneKey, "schema"},
	{"CF-362 path below a number", withHeader(`"x-a":"revision.a"`), "headers.x-a", `"revision.a"`, "refreshed, revision or reason", oneKey, "schema"},
	{"CF-362 path with a modifier", withHeader(`"x-a":"data|@pretty"`), "headers.x-a", "@pretty", "data.NAME", oneKey, "schema"},
	{"CF-362 path with an empty word", withHeader(`"x-a":"data..a"`), "headers.x-a", "data..a", "data.NAME", oneKey, "schema"},
	{"CF-362 path a number", withHeader(`"x-a":1`), "headers.x-a", "1", "in quotes", oneKey, "schema"},
	{"CF-362 headers a list", withTop(`"headers":["x-a"]`), "headers", "[...]", "JSON object", oneKey, "schema"},
	{"CF-364 off for /", withRule(`"path_prefix":"/","session":"off"`), "rules[0].session", "off", "every path", oneKey, "schema"},
	{"CF-365 off for / behind others", withTop(`"rules":[{"path":"/a"},{"path_prefix":"/","session":"off"}]`), "rules[1].session", "off", "every path", oneKey, "schema"},
	{"CF-365 off with idle", withRule(`"path":"/a","session":"off","idle":"5m"`), "rules[0].session", "off", "leave them out", oneKey, "schema"},
	{"CF-365 off with absolute", withRule(`"path":"/a","session":"off","absolute":"5m"`), "rules[0].session", "off", "leave them out", oneKey, "schema"},
	{"CF-365 off with max_auth_age", withRule(`"path":"/a","session":"off","max_auth_age":"5m"`), "rules[0].session", "off", "leave them out", oneKey, "schema"},
	{"CF-365 off and passive", withRule(`"path":"/a","session":"off","activity":"passive"`), "rules[0].session", "off", "leave them out", oneKey, "schema"},
	{"CF-365 off made a boolean by YAML", withRule(`"path":"/a","session":false`), "rules[0].session", "false", "in quotes", oneKey, "schema"},
	{"CF-365 on made a boolean by YAML", withRule(`"path":"/a","session":true`), "rules[0].session", "true", "in quotes", oneKey, "schema"},
	{"CF-365 session unknown", withRule(`"path":"/a","session":"none"`), "rules[0].session", `"none"`, "required, optional, off", oneKey, "schema"},
	{"CF-365 activity unknown", withRule(`"path":"/a","activity":"off"`), "rules[0].activity", `"off"`, "active, passive", oneKey, "schema"},
	{"CF-365 path and path_prefix", withRule(`"path":"/a","path_prefix":"/a"`), "rules[0]", "", "not both", oneKey, "schema"},
	{"CF-365 neither path nor path_prefix", withRule(`"session":"off"`), "rules[0]", "", "needs path", oneKey, "schema"},
	{"CF-365 path with a query", withRule(`"path":"/a?b=1"`), "rules[0].path", "/a?b=1", "plain path", oneKey, "schema"},
	{"CF-365 path with a star", withRule(`"path_prefix":"/static/*","session":"off"`), "rules[0].path_prefix", "/static/*", "plain path", oneKey, "schema"},
	{"CF-365 path without a slash", withRule(`"path":"static"`), "rules[0].path", "static", "begins with /", oneKey, "schema"},
	{"CF-365 path empty", withRule(`"path":""`), "rules[0].path", `""`, "begins with /", oneKey, "schema"},
	{"CF-365 path with //", withRule(`"path":"/a//b"`), "rules[0].path", "/a//b", "no //", oneKey, "schema"},
	{"CF-365 path with a dot segment", withRule(`"path_prefix":"/a/../b"`), "rules[0].path_prefix", "/a/../b", "dot segment", oneKey, "schema"},
	{"CF-365 path with a letter escaped", withRule(`"path":"/%61dmin"`), "rules[0].path", "/%61dmin", "escaped", oneKey, "schema"},
	{"CF-365 path with small digits", withRule(`"path":"/caf%c3%a9"`), "rules[0].path", "/caf%c3%a9", "escaped", oneKey, "schema"},
	{"CF-365 over 1,000 rules", withTop(`"rules":[` + strings.Repeat(`{"path":"/a"},`, 1000) + `{"path":"/b"}]`), "rules", "", "more than 1,000", oneKey, "schema"},
	{"CF-365 behind a wider rule", withTop(`"rules":[{"path_prefix":"/","session":"optional"},{"path_prefix":"/admin","require":{"data.role":["admin"]}}]`), "rules[1].path_prefix", "/admin", "never counts", oneKey, "relation"},
	{"CF-365 behind a rule for its methods and hosts", withTop(`"rules":[{"path_prefix":"/a","session":"off","hosts":["b.example","a.example"],"methods":["GET","POST"]},{"path":"/a/b","hosts":["a.example"],"methods":["POST"]}]`), "rules[1].path_prefix", "/a/b", "never counts", oneKey, "relation"},
	{"CF-365 path with %2f", withRule(`"path":"/a%2Fb"`), "rules[0].path", "/a%2Fb", "escaped", oneKey, "schema"},
	{"CF-365 path with %2e", withRule(`"path":"/%2e%2e"`), "rules[0].path", "/%2e%2e", "escaped", oneKey, "schema"},
	{"CF-365 path with a broken escape", withRule(`"path":"/a%zz"`), "rules[0].path", "/a%zz", "escaped", oneKey, "schema"},
	{"CF-365 path with overlong UTF-8", withRule(`"path":"/%e0%80%af"`), "rules[0].path", "/%e0%80%af", "escaped", oneKey, "schema"},
	{"CF-365 path with ;", withRule(`"path":"/a;b"`), "rules[0].path", "/a;b", "plain path", oneKey, "schema"},
	{"CF-365 path not ASCII", withRule(`"path":"/é"`), "rules[0].path", "/é", "ASCII", oneKey, "schema"},
	{"CF-365 host with a port", withRule(`"path":"/a","hosts":["a.example:443"]`), "rules[0].hosts[0]", "a.example:443", "without port", oneKey, "schema"},
	{"CF-365 host with a star", withRule(`"path":"/a","hosts":["a.example","*.example"]`), "rules[0].hosts[1]", "*.example", "wildcard", oneKey, "schema"},
	{"CF-365 host with a hyphen at an edge", withRule(`"path":"/a","hosts":["a-.example"]`), "rules[0].hosts[0]", "a-.example", "host name", oneKey, "schema"},
	{"CF-365 host a number", withRule(`"path":"/a","hosts":[1]`), "rules[0].hosts[0]", "1", "host name", oneKey, "schema"},
	{"CF-365 no hosts", withRule(`"path":"/a","hosts":[]`), "rules[0].hosts", "[...]", "leave it out", oneKey, "schema"},
	{"CF-365 hosts not a list", withRule(`"path":"/a","hosts":"a.example"`), "rules[0].hosts", "a.example", "list", oneKey, "schema"},
	{"CF-365 method in lower case", withRule(`"path":"/a","methods":["get"]`), "rules[0].methods[0]", "get", "capitals", oneKey, "schema"},
	{"CF-365 method with a space", withRule(`"path":"/a","methods":["GET /"]`), "rules[0].methods[0]", "GET /", "capitals", oneKey, "schema"},
	{"CF-365 rules not a list", withTop(`"rules":{"path":"/a"}`), "rules", "{...}", "list", oneKey, "schema"},
	{"CF-365 rule not an object", withTop(`"rules":["/a"]`), "rules[0]", `"/a"`, "JSON object", oneKey, "schema"},
	{"CF-365 when without data.", withRule(`"path":"/a","when":{"role":["x"]}`), "rules[0].when.role", "[...]", "data.role", oneKey, "schema"},
	{"CF-365 when with a query", withRule(`"path":"/a","when":{"data.#(a)":["x"]}`), "rules[0].when.data.#(a)", "[...]", "data.role", oneKey, "schema"},
	{"CF-365 when not a list", withRule(`"path":"/a","when":{"data.a":"x"}`), "rules[0].when.data.a", `"x"`, "list", oneKey, "schema"},
	{"CF-365 when empty", withRule(`"path":"/a","when":{}`), "rules[0].when", "", "asks for nothing", oneKey, "schema"},
	{"CF-365 require empty", withRule(`"path":"/a","require":{}`), "rules[0].require", "", "asks for nothing", oneKey, "schema"},
	{"CF-365 require without values", withRule(`"path":"/a","require":{"data.a":[]}`), "rules[0].require.data.a", "[...]", "at least one value", oneKey, "schema"},
	{"CF-365 require with null", withRule(`"path":"/a","require":{"data.a":[1,null]}`), "rules[0].require.data.a[1]", "null", "true or false", oneKey, "schema"},
	{"CF-365 require with an object", withRule(`"path":"/a","require":{"data.a":[{}]}`), "rules[0].require.data.a[0]", "{...}", "true or false", oneKey, "schema"},
	{"CF-365 when that makes laxer", withRule(`"path":"/a","session":"optional","when":{"data.a":[1]}`), "rules[0].session", "optional", "never make access laxer", oneKey, "schema"},
	{"CF-365 when with off", withRule(`"path":"/a","session":"off","when":{"data.a":[1]}`), "rules[0].session", "off", "never make access laxer", oneKey, "schema"},
	{"CF-365 require with optional", withRule(`"path":"/a","session":"optional","require":{"data.a":[1]}`), "rules[0].session", "optional", "must be required", oneKey, "schema"},
	{"CF-365 max_auth_age with optional", withRule(`"path":"/a","session":"optional","max_auth_age":"5m"`), "rules[0].session", "optional", "must be required", oneKey, "schema"},
	{"CF-366 protected login path", withRule(`"path":"/login","session":"required"`), "rules[0].path", "/login", "a loop", oneKey, "relation"},
	{"CF-366 protected login path, by default", withRule(`"path":"/login","idle":"5m"`), "rules[0].path", "/login", "a loop", oneKey, "relation"},
	{"CF-367 login missing", `{` + keysPart + `}`, "login.url", "", "is needed", oneKey, "schema"},
	{"CF-367 login.url empty", withLogin(`"url":""`), "login.url", "", "is needed", oneKey, "schema"},
	{"CF-367 login.url of another host by //", withLogin(`"url":"//evil.example/login"`), "login.url", "//evil.example/login", "plain path", oneKey, "schema"},
	{"CF-367 login.url with ..", withLogin(`"url":"/a/../login"`), "login.url", "/a/../login", "plain path", oneKey, "schema"},
	{"CF-367 login.url with an escape", withLogin(`"url":"/%2flogin"`), "login.url", "/%2flogin", "plain path", oneKey, "schema"},
	{"CF-367 login.url with a backslash", withLogin(`"url":"/\\evil.example"`), "login.url", `/\evil.example`, "plain path", oneKey, "schema"},
	{"CF-367 login.url with a fragment", withLogin(`"url":"/login#top"`), "login.url", "/login#top", "fragment", oneKey, "schema"},
	{"CF-367 login.url with a line break", withLogin(`"url":"/login\r\nSet-Cookie: a=b"`), "login.url", "/login", "plain path", oneKey, "schema"},
	{"CF-367 login.url a script", withLogin(`"url":"javascript:alert(1)"`), "login.url", "javascript:", "https URL", oneKey, "schema"},
	{"CF-367 login.url by plain http", withLogin(`"url":"http://sso.example/login","start_on":[{"path":"/cb"}]`), "login.url", "http://sso", "https URL", oneKey, "schema"},
	{"CF-367 login.url with a user", withLogin(`"url":"https://a@sso.example/","start_on":[{"path":"/cb"}]`), "login.url", "a@sso", "https URL", oneKey, "schema"},
	{"CF-367 login.url with port +443", withLogin(`"url":"https://sso.example:+443/","start_on":[{"path":"/cb"}]`), "login.url", ":+443", "https URL", oneKey, "schema"},
	{"CF-367 login.url with port 65536", withLogin(`"url":"https://sso.example:65536/","start_on":[{"path":"/cb"}]`), "login.url", ":65536", "https URL", oneKey, "schema"},
	{"CF-367 login.url with .. on another host", withLogin(`"url":"https://sso.example/a/..?b","start_on":[{"path":"/cb"}]`), "login.url", "/a/..?b", "https URL", oneKey, "schema"},
	{"CF-367 login.url a bare host", withLogin(`"url":"https://sso.example","start_on":[{"path":"/cb"}]`), "login.url", "https://sso.example", "https URL", oneKey, "schema"},
	{"CF-367 login.url over 2,048 bytes", withLogin(`"url":"/` + strings.Repeat("a", 2048) + `"`), "login.url", "/aaa", "plain path", oneKey, "schema"},
	{"CF-367 login elsewhere without start_on", withLogin(`"url":"https://sso.example/login"`), "login.start_on", "", "is needed", oneKey, "schema"},
	{"CF-367 login elsewhere with empty start_on", withLogin(`"url":"https://sso.example/login","start_on":[]`), "login.start_on", "", "is needed", oneKey, "schema"},
	{"CF-367 start_on without path", withLogin(`"url":"/login","start_on":[{"method":"POST"}]`), "login.start_on[0].path", "", "such as /login", oneKey, "schema"},
	{"CF-367 start_on with a query", withLogin(`"url":"/login","start_on":[{"path":"/login?a"}]`), "login.start_on[0].path", "/login?a", "without a query", oneKey, "schema"},
	{"CF-367 start_on's method in lower case", withLogin(`"url":"/login","start_on":[{"path":"/login","method":"post"}]`), "login.start_on[0].method", "post", "capitals", oneKey, "schema"},
	{"CF-367 start_on is logout", withLogin(`"url":"/login","start_on":[{"path":"/logout"}]`), "login.start_on[0].path", "/logout", "another path", oneKey, "relation"},
	{"CF-367 start_on below browser.path", withLogin(`"url":"/login","start_on":[{"path":"/.session/in"}]`), "login.start_on[0].path", "/.session/in", "below browser.path", oneKey, "relation"},
	{"CF-367 return_param with a space", withLogin(`"url":"/login","return_param":"a b"`), "login.return_param", "a b", "1 to 64", oneKey, "schema"},
	{"CF-367 return_param empty", withLogin(`"url":"/login","return_param":""`), "login.return_param", "", "1 to 64", oneKey, "schema"},
	{"CF-367 reason_param long", withLogin(`"url":"/login","reason_param":"` + strings.Repeat("r", 65) + `"`), "login.reason_param", "rrr", "1 to 64", oneKey, "schema"},
	{"CF-367 both params the same", withLogin(`"url":"/login","reason_param":"next"`), "login.reason_param", "next", "rename one", oneKey, "relation"},
	{"CF-367 login is logout", withLogin(`"url":"/logout"`), "logout.path", "/logout", "nobody could log in", oneKey, "relation"},
	{"CF-367 login below browser.path", withLogin(`"url":"/.session/login"`), "login.url", "/.session/login", "below browser.path", oneKey, "relation"},
	{"CF-367 logout below browser.path", withLogout(`"path":"/.session/out"`), "logout.path", "/.session/out", "below browser.path", oneKey, "relation"},
	{"CF-367 logout redirects to itself", withLogout(`"redirect":"/logout"`), "logout.redirect", "/logout", "a loop", oneKey, "relation"},
	{"CF-367 logout redirects to itself with a query", withLogout(`"redirect":"/logout?again"`), "logout.redirect", "/logout?again", "a loop", oneKey, "relation"},
	{"CF-367 logout redirects to //", withLogout(`"redirect":"//evil.example"`), "logout.redirect", "//evil.example", "plain path", oneKey, "schema"},
	{"CF-367 logout redirects to nothing", withLogout(`"redirect":""`), "logout.redirect", "", "plain path", oneKey, "schema"},
	{"CF-367 logout at /", withLogout(`"path":"/"`), "logout.path", "/", "such as /logout", oneKey, "schema"},
	{"CF-367 logout's path a number", withLogout(`"path":1`), "logout.path", "1", "in quotes", oneKey, "schema"},
	{"CF-367 logout without methods", withLogout(`"methods":[]`), "logout.methods", "[...]", "leave it out", oneKey, "schema"},
	{"CF-367 browser.path without a slash at the end", withTop(`"browser":{"path":"/session"}`), "browser.path", "/session", "ends with a slash", oneKey, "schema"},
	{"CF-367 browser.path is /", withTop(`"browser":{"path":"/"}`), "browser.path", "/", "below /", oneKey, "schema"},
	{"CF-368 depth 10,000", withTop(`"rules":` + strings.Repeat("[", 9990) + strings.Repeat("]", 9990)), "config", "", "deeper than 16", oneKey, "schema"},
	{"CF-368 depth 10,000, not closed", strings.Repeat(`{"a":`, 10_000), "config", "", "deeper than 16", oneKey, "syntax"},
	{"CF-369 over 1 MiB", minimal + strings.Repeat(" ", maxConfig), "config", "", "1 MiB", oneKey, "size"},
	{"CF-371 audience long", withTop(`"audience":"` + strings.Repeat("a", 129) + `"`), "audience", "aaa", "128", oneKey, "schema"},
	{"CF-371 audience with a control character", withTop(`"audience":"a\u0000"`), "audience", `"a\u0000"`, "printable ASCII", oneKey, "schema"},
	{"CF-371 audience a number", withTop(`"audience":9007199254740993`), "audience", "9007199254740993", "in quotes", oneKey, "schema"},
	{"CF-371 revoke.before not a time", withTop(`"revoke":{"before":"yesterday"}`), "revoke.before", "yesterday", "RFC 3339", oneKey, "schema"},
	{"CF-371 revoke.before a number", withTop(`"revoke":{"before":1}`), "revoke.before", "1", "in quotes", oneKey, "schema"},
	{"CF-371 subject's time not a time", withTop(`"revoke":{"subjects":{"42":true}}`), "revoke.subjects.42", "true", "in quotes", oneKey, "schema"},
	{"CF-371 subject with a control character", withTop(`"revoke":{"subjects":{"4\t2":"2026-11-20T08:00:00Z"}}`), "revoke.subjects.4?2", "2026", "control characters", oneKey, "schema"},
	{"CF-371 subject with a space at its end", withTop(`"revoke":{"subjects":{"42 ":"2026-11-20T08:00:00Z"}}`), "revoke.subjects.42 ", "2026", "space at either end", oneKey, "schema"},
	{"CF-371 subject over 256 bytes", withTop(`"revoke":{"subjects":{"` + strings.Repeat("é", 129) + `":"2026-11-20T08:00:00Z"}}`), "revoke.subjects." + strings.Repeat("é", 129), "2026", "256 bytes", oneKey, "bytes"},
	{"CF-371 subjects a list", withTop(`"revoke":{"subjects":["42"]}`), "revoke.subjects", "[...]", "JSON object", oneKey, "schema"},
	{"feed a string", withTop(`"revoke":{"feed":"/revoked"}`), "revoke.feed", `"/revoked"`, "JSON object", oneKey, "schema"},
	{"feed with an unknown field", withFeed(`,"timeout":"1s"`), "revoke.feed.timeout", "", "known here: cluster, path, authority", oneKey, "schema"},
	{"feed with a field twice", withFeed(`,"path":"/b"`), "revoke.feed.path", `"/b"`, "stands twice", oneKey, "syntax"},
	{"feed without a cluster", withTop(`"revoke":{"feed":{"path":"/revoked"}}`), "revoke.feed.cluster", "", "is needed", oneKey, "schema"},
	{"feed with an empty cluster", withTop(`"revoke":{"feed":{"cluster":"","path":"/revoked"}}`), "revoke.feed.cluster", `""`, "is needed", oneKey, "schema"},
	{"feed with a space in its cluster", withTop(`"revoke":{"feed":{"cluster":"a b","path":"/revoked"}}`), "revoke.feed.cluster", `"a b"`, "name of the Envoy cluster", oneKey, "schema"},
	{"feed with a long cluster", withTop(`"revoke":{"feed":{"cluster":"` + strings.Repeat("c", 257) + `","path":"/revoked"}}`), "revoke.feed.cluster", "ccc", "name of the Envoy cluster", oneKey, "schema"},
	{"feed without a path", withTop(`"revoke":{"feed":{"cluster":"app"}}`), "revoke.feed.path", "", "is needed", oneKey, "schema"},
	{"feed with an empty path", withTop(`"revoke":{"feed":{"cluster":"app","path":""}}`), "revoke.feed.path", `""`, "is needed", oneKey, "schema"},
	{"feed with a path of no slash", withTop(`"revoke":{"feed":{"cluster":"app","path":"revoked"}}`), "revoke.feed.path", `"revoked"`, "a path on that cluster", oneKey, "schema"},
	{"feed with a URL for its path", withTop(`"revoke":{"feed":{"cluster":"app","path":"http://app/revoked"}}`), "revoke.feed.path", "http", "a path on that cluster", oneKey, "schema"},
	{"feed with a fragment", withTop(`"revoke":{"feed":{"cluster":"app","path":"/revoked#x"}}`), "revoke.feed.path", "#x", "a path on that cluster", oneKey, "schema"},
	{"feed with a space in its path", withTop(`"revoke":{"feed":{"cluster":"app","path":"/re voked"}}`), "revoke.feed.path", "/re voked", "a path on that cluster", oneKey, "schema"},
	{"feed with a line break in its path", withTop(`"revoke":{"feed":{"cluster":"app","path":"/r\r\nx: y"}}`), "revoke.feed.path", `\r\n`, "a path on that cluster", oneKey, "schema"},
	{"feed with a long path", withTop(`"revoke":{"feed":{"cluster":"app","path":"/` + strings.Repeat("p", 2048) + `"}}`), "revoke.feed.path", "ppp", "a path on that cluster", oneKey, "schema"},
	{"feed with an empty authority", withFeed(`,"authority":""`), "revoke.feed.authority", `""`, "visible ASCII", oneKey, "schema"},
	{"feed with a space in its authority", withFeed(`,"authority":"app internal"`), "revoke.feed.authority", "app internal", "visible ASCII", oneKey, "schema"},
	{"feed with a long authority", withFeed(`,"authority":"` + strings.Repeat("a", 257) + `"`), "revoke.feed.authority", "aaa", "visible ASCII", oneKey, "schema"},
	{"feed asked all the time", withFeed(`,"interval":"0s"`), "revoke.feed.interval", `"0s"`, "from 1s to 1h", oneKey, "sum"},
	{"feed asked every other hour", withFeed(`,"interval":"2h"`), "revoke.feed.interval", `"2h"`, "from 1s to 1h", oneKey, "sum"},
	{"feed whose interval is a number", withFeed(`,"interval":10`), "revoke.feed.interval", "10", "in quotes", oneKey, "schema"},
	{"feed stale at once", withFeed(`,"stale_after":"1s","interval":"1s"`), "revoke.feed.stale_after", `"1s"`, "from 2s", oneKey, "sum"},
	{"feed stale before the second answer", withFeed(`,"interval":"3m"`), "revoke.feed.stale_after", "", "at least twice interval (180s)", oneKey, "relation"},
	{"feed stale within two intervals", withFeed(`,"interval":"10s","stale_after":"19s"`), "revoke.feed.stale_after", `"19s"`, "at least twice interval", oneKey, "relation"},
	{"feed with on_stale unknown", withFeed(`,"on_stale":"block"`), "revoke.feed.on_stale", `"block"`, "allow, deny", oneKey, "schema"},
	{"feed with on_stale made a boolean", withFeed(`,"on_stale":true`), "revoke.feed.on_stale", "true", "in quotes", oneKey, "schema"},
	{"feed with both secrets", withFeed(`,"secret_env":"K","secret":"` + secretB + `"`), "revoke.feed.secret_env", "", "secret_env", oneKey, "schema"},
	{"feed with a short secret", withFeed(`,"secret":"fifteen-letters"`), "revoke.feed.secret", "(hidden)", "16 to 512 visible", oneKey, "schema"},
	{"feed with a long secret", withFeed(`,"secret":"` + strings.Repeat("longer", 86) + `"`), "revoke.feed.secret", "(hidden)", "16 to 512 visible", oneKey, "schema"},
	{"feed with a space in its secret", withFeed(`,"secret":"correct horse battery"`), "revoke.feed.secret", "(hidden)", "16 to 512 visible", oneKey, "schema"},
	{"feed with a secret beyond ASCII", withFeed(`,"secret":"sixteen-letters-é"`), "revoke.feed.secret", "(hidden)", "16 to 512 visible", oneKey, "schema"},
	{"feed with an empty secret", withFeed(`,"secret":""`), "revoke.feed.secret", "(hidden)", "16 to 512 visible", oneKey, "schema"},
	{"feed with a secret that is a number", withFeed(`,"secret":1234567890123456`), "revoke.feed.secret", "(hidden)", "in quotes", oneKey, "schema"},
	{"feed whose variable is not set", withFeed(`,"secret_env":"MISSING"`), "revoke.feed.secret_env", "MISSING", "host_env_keys", oneKey, "env"},
	{"feed whose variable is short", withFeed(`,"secret_env":"SHORT"`), "revoke.feed.secret_env", "(hidden)", "16 to 512 visible", envMap{"K": secretA, "SHORT": "only-a-few"}, "env"},
	{"feed whose variable ends in a line break", withFeed(`,"secret_env":"FILE"`), "revoke.feed.secret_env", "(hidden)", "16 to 512 visible", envMap{"K": secretA, "FILE": "seventeen-letters\n"}, "env"},
	{"key ids that counters cannot tell apart", withTwo(`"id":"2026-11","secret":"`+secretA+`"`, `"id":"2026_11","secret":"`+secretB+`"`), "keys[1].id", "2026_11", "differs in - and _", noKey, "relation"},
	{"CF-371 report_only made a string", withTop(`"report_only":"no"`), "report_only", `"no"`, "true or false", oneKey, "schema"},
	{"CF-371 allow_insecure a number", withTop(`"allow_insecure":1`), "allow_insecure", "1", "true or false", oneKey, "schema"},
	{"CF-371 anonymous made a string", withTop(`"anonymous":"yes"`), "anonymous", `"yes"`, "true or false", oneKey, "schema"},
	{"CF-371 log_subject null", withTop(`"log_subject":null`), "log_subject", "null", "true or false", oneKey, "schema"},
	{"CF-371 preflight null", withTop(`"bypass_cors_preflight":null`), "bypass_cors_preflight", "null", "true or false", oneKey, "schema"},
	{"CF-372 wrap without a mode", withTop(`"wrap":["sessionid"]`), "wrap[0]", "sessionid", "set cookie.mode to sealed", oneKey, "schema"},
	{"CF-372 wrap in a signed cookie", withTop(`"cookie":{"mode":"signed"},"wrap":["sessionid"]`), "wrap[0]", "sessionid", "set cookie.mode to sealed", oneKey, "schema"},
	{"CF-372 wrap with report_only", withWrap(`["sessionid"],"report_only":true`), "wrap[0]", "sessionid", "report_only promises not to", oneKey, "schema"},
	{"CF-372 wrap of the session cookie", withWrap(`["sessionid","__Host-session"]`), "wrap[1]", "__Host-session", "one of the app's", oneKey, "relation"},
	{"CF-372 wrap of the touch cookie", withWrap(`["__Host-session-seen"]`), "wrap[0]", "__Host-session-seen", "one of the app's", oneKey, "relation"},
	{"CF-372 wrap of the touch cookie by another name", withTop(`"cookie":{"name":"__Host-s","mode":"sealed"},"wrap":["__Host-s-seen"]`), "wrap[0]", "__Host-s-seen", "one of the app's", oneKey, "relation"},
	{"CF-372 wrap of the renewal's cookie", withWrap(`["__Host-session-renewed"]`), "wrap[0]", "__Host-session-renewed", "one of the app's", oneKey, "relation"},
	{"CF-372 wrap of what some server takes for the session cookie", withWrap(`["sessionid","host.SESSION"]`), "wrap[1]", "host.SESSION", "some server takes it for one", oneKey, "relation"},
	{"CF-372 wrap with a domain", withTop(`"cookie":{"name":"__Secure-s","domain":"shop.example","mode":"sealed"},"wrap":["sessionid"]`), "wrap[0]", "sessionid", "every host of cookie.domain", oneKey, "schema"},
	{"CF-372 wrap of 17", withWrap(`["` + strings.Join(strings.Split("abcdefghijklmnopq", ""), `","`) + `"]`), "wrap", "", "more cookies than the 16", oneKey, "schema"},
	{"CF-372 wrap a name that begins with $", withWrap(`["sessionid","$Path"]`), "wrap[1]", "$Path", "take $ for an attribute", oneKey, "schema"},
	{"CF-372 wrap of Django's messages", withWrap(`["sessionid","messages"],"django_messages":{"secret_env":"K"}`), "wrap[1]", "messages", "leave either out", oneKey, "relation"},
	{"CF-372 wrap twice", withWrap(`["sessionid","PHPSESSID","sessionid"]`), "wrap[2]", "sessionid", "stands twice", oneKey, "schema"},
	{"CF-372 wrap twice in other letters", withWrap(`["session_id","PHPSESSID","Session-ID"]`), "wrap[2]", "Session-ID", "some server takes it for one before it", oneKey, "relation"},
	{"CF-372 wrap of Django's messages in other letters", withWrap(`["Messages"],"django_messages":{"secret_env":"K"}`), "wrap[0]", "Messages", "leave either out", oneKey, "relation"},
	{"CF-372 wrap empty", withWrap(`[]`), "wrap", "[...]", "leave it out", oneKey, "schema"},
	{"CF-372 wrap a string", withWrap(`"sessionid"`), "wrap", `"sessionid"`, "list", oneKey, "schema"},
	{"CF-372 wrap null", withWrap(`null`), "wrap", "null", "list", oneKey, "schema"},
	{"CF-372 wrap a number", withWrap(`[1]`), "wrap[0]", "1", "name of a cookie", oneKey, "schema"},
	{"CF-372 wrap an empty name", withWrap(`[""]`), "wrap[0]", `""`, "name of a cookie", oneKey, "schema"},
	{"CF-372 wrap a name that folds to nothing", withWrap(`["_"]`), "wrap[0]", `"_"`, "name of a cookie", oneKey, "schema"},
	{"CF-372 wrap a name with a space", withWrap(`["session id"]`), "wrap[0]", `"session id"`, "a token", oneKey, "schema"},
	{"CF-372 wrap a name and a value", withWrap(`["sessionid=1"]`), "wrap[0]", `"sessionid=1"`, "a token", oneKey, "schema"},
	{"CF-372 wrap a name that is not ASCII", withWrap(`["sitzungé"]`), "wrap[0]", "sitzungé", "a token", oneKey, "schema"},
	{"CF-372 wrap a name of 65 characters", withWrap(`["` + strings.Repeat("n", 65) + `"]`), "wrap[0]", "nnn", "at most 64", oneKey, "schema"},
	{"CF-372 wrap, its timeouts those of a short remember", withWrap(`["a"],"remember":{"idle":"1m"}`), "remember.idle", "60s", "at least twice timeouts.touch", oneKey, "relation"},
	{"CF-373 django_messages a secret", withTop(`"django_messages":"` + secretB + `"`), "django_messages", "(hidden)", "JSON object", oneKey, "schema"},
	{"CF-373 django_messages null", withTop(`"django_messages":null`), "django_messages", "(hidden)", "JSON object", oneKey, "schema"},
	{"CF-373 django_messages without a secret", withDjango(`"text":"Bye."`), "django_messages.secret_env", "", "either secret_env", oneKey, "schema"},
	{"CF-373 django_messages with both secrets", withDjango(`"secret_env":"K","secret":"` + secretB + `"`), "django_messages.secret_env", "", "either secret_env", oneKey, "schema"},
	{"CF-373 django_messages' variable not set", withDjango(`"secret_env":"MISSING"`), "django_messages.secret_env", "MISSING", "host_env_keys", oneKey, "env"},
	{"CF-373 django_messages' secret for a variable's name", withDjango(`"secret_env":"` + secretB + `"`), "django_messages.secret_env", "(hidden)", "the secret itself goes into", oneKey, "schema"},
	{"CF-373 django_messages' hex secret for a variable's name", withDjango(`"secret_env":"` + hexSecret + `"`), "django_messages.secret_env", "(hidden)", "not set", oneKey, "env"},
	{"CF-373 django_messages' secret a number", withDjango(`"secret":12345678901234567890123456789012345`), "django_messages.secret", "(hidden)", "in quotes", oneKey, "schema"},
	{"CF-373 django_messages' secret short", withDjango(`"secret":"z!R7qLw0-nX4vTb9.kYc2mHs6pDf8gJ"`), "django_messages.secret", "(hidden)", "project's own SECRET_KEY", oneKey, "schema"},
	{"CF-373 django_messages' secret short in the variable", withDjango(`"secret_env":"D"`), "django_messages.secret_env", "(hidden)", "of at least 32", envMap{"K": secretA, "D": "Jk3-short-x9Qf"}, "env"},
	{"CF-373 django_messages' secret a sample", withDjango(`"secret":"change-me-8f2k!q0z7wd4@xv1mtp9#r6b"`), "django_messages.secret", "(hidden)", "a sample", oneKey, "schema"},
	{"CF-373 django_messages' secret easily guessed", withDjango(`"secret":"` + strings.Repeat("a1", 25) + `"`), "django_messages.secret", "(hidden)", "easily guessed", oneKey, "random"},
	{"CF-373 django_messages with the login elsewhere", `{` + keysPart + `,"login":{"url":"https://sso.example/login","start_on":[{"path":"/cb"}]},"django_messages":{"secret_env":"K"}}`, "django_messages", "", "on another; leave it out", oneKey, "schema"},
	{"CF-373 django_messages' text empty", withDjango(`"secret_env":"K","text":""`), "django_messages.text", `""`, "1 to 256", oneKey, "schema"},
	{"CF-373 django_messages' text long", withDjango(`"secret_env":"K","text":"` + strings.Repeat("t", 257) + `"`), "django_messages.text", "ttt", "1 to 256", oneKey, "schema"},
	{"CF-373 django_messages' text over 256 bytes", withDjango(`"secret_env":"K","text":"` + strings.Repeat("é", 129) + `"`), "django_messages.text", "ééé", "1 to 256", oneKey, "bytes"},
	{"CF-373 django_messages' text a number", withDjango(`"secret_env":"K","text":1`), "django_messages.text", "1", "in quotes", oneKey, "schema"},
}

func TestParseRefuses(t *testing.T) {
	bySchema := 0
	for _, c := range badConfigs {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(c.json, c.env.get)
			var e *ConfigError
			if got != nil || !errors.As(err, &e) {
				t.Fatalf("got %v, %v; want a *ConfigError alone", got, err)
			}
			if e.Field != c.field || !strings.Contains(e.Value, c.value) || c.value == "" && e.Value != "" {
				t.Errorf("got %q with value %q; want %q with %q", e.Field, e.Value, c.field, c.value)
			}
			if strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("more than one line: %q", err)
			}
			if c.rule == "" || !strings.Contains(e.Rule, c.rule) {
				t.Errorf("got rule %q; want %q in it", e.Rule, c.rule)
			}
			for _, s := range append(givenSecrets(c.json, c.env), secretA, secretB) {
				if strings.Contains(err.Error(), s) {
					t.Errorf("the error repeats a secret: %s", err)
				}
			}
			switch refused, parsed := schemaRefuses(t, c.json); {
			case c.seen == "schema" && !(parsed && refused):
				t.Errorf("the schema does not refuse it (JSON: %v)", parsed)
			case c.seen != "schema" && parsed && refused:
				t.Errorf("%s: but the schema refuses it", c.seen)
			}
		})
		if c.seen == "schema" {
			bySchema++
		}
	}
	if len(badConfigs) < 110 || bySchema < 100 {
		t.Errorf("%d bad configs, %d refused by the schema too; want 110 and 100 at least", len(badConfigs), bySchema)
	}
}

var secretField = regexp.MustCompile(`(?i)"secret[a-z_]*":"?([^",}]{8,})`)

// givenSecrets are what a config and its environment hold in the way of secrets.
func givenSecrets(text string, env envMap) (list []string) {
	for _, m := range secretField.FindAllStringSubmatch(text, -1) {
		if m[1] != "MISSING" {
			list = append(list, m[1])
		}
	}
	for _, s := range env {
		list = append(list, s)
	}
	return list
}

// defaultConfig is what the minimal config means.
func defaultConfig() *Config {
	secret, _ := base64.StdEncoding.DecodeString(secretA)
	return &Config{
		Cookie:    Cookie{Name: "__Host-session", Attributes: cookie.Attributes{Path: "/", SameSite: "Lax", Secure: true}},
		Keys:      []cookie.Key{{ID: "a", Secret: secret}},
		Timeouts:  Timeouts{Limits: Limits{Idle: 900, Absolute: 43200}, Touch: 60, Rotate: 3600, Skew: 60},
		Remember:  Limits{Idle: 336 * 3600, Absolute: 720 * 3600},
		Login:     LoginRoutes{URL: "/login", ReturnParam: "next", ReasonParam: "reason", StartOn: []Route{{"POST", "/login"}}},
		Logout:    LogoutRoute{Path: "/logout", Redirect: "/", Methods: []string{"POST"}},
		HeaderMap: []Header{{Name: "x-session-subject", Path: "subject"}}, Browser: Browser{Path: "/.session/", Warn: 60}, BypassPreflight: true,
	}
}

// fullConfig has nearly every field, as the documentation shows it.
const fullConfig = `{
  "cookie":   {"name": "__Host-session", "mode": "sealed", "path": "/", "domain": "", "same_site": "Lax", "secure": true, "partitioned": false},
  "keys":     [{"id": "2026-11", "secret_env": "CURFEW_KEY_2026_11", "sign_from": "2026-11-01T00:00:00Z", "verify_until": "2027-11-01T00:00:00Z"}],
  "audience": "shop",
  "timeouts": {"idle": "15m", "absolute": "12h", "touch": "1m", "rotate": "1h", "clock_skew": "1m"},
  "remember": {"idle": "336h", "absolute": "720h"},
  "login":    {"url": "/login", "return_param": "next", "reason_param": "reason", "start_on": [{"method": "POST", "path": "/login"}]},
  "logout":   {"path": "/logout", "redirect": "/"},
  "rules":    [{"path_prefix": "/static/", "session": "off"},
               {"path_prefix": "/", "hosts": ["shop.example"], "methods": ["GET"], "session": "required",
                "activity": "passive", "idle": "5m", "absolute": "1h", "max_auth_age": "10m",
                "when": {"data.staff": [true]}, "require": {"data.role": ["admin"]}}],
  "headers":  {"x-session-subject": "subject"},
  "wrap":     ["sessionid"], "anonymous": true,
  "browser":  {"path": "/.session/"},
  "revoke":   {"before": "2026-11-20T00:00:00Z", "subjects": {"42": "2026-11-20T08:00:00Z"}},
  "django_messages": {"secret_env": "DJANGO_SECRET_KEY", "text": "Your session has expired. Please log in again."},
  "log_subject": true, "report_only": false, "bypass_cors_preflight": true
}`

func fullMeans(c *Config) {
	c.Keys[0].ID, c.Keys[0].SignFrom, c.Keys[0].VerifyUntil = "2026-11", 1793491200, 1825027200
	c.Audience, c.Cookie.Sealed, c.Wrap, c.Anonymous, c.LogSubject = "shop", true, []string{"sessionid"}, true, true
	c.Rules = []Rule{{PathPrefix: "/static/", Need: SessionOff}, {
		PathPrefix: "/", Hosts: []string{"shop.example"}, Methods: []string{"GET"}, Passive: true, Idle: 300, Absolute: 3600, MaxAuthAge: 600,
		When: []Condition{{"staff", []string{"true"}}}, Require: []Condition{{"role", []string{`"admin"`}}},
	}}
	c.Revoke = Revoke{Revocations: Revocations{Before: 1795132800, Subjects: []RevokedSubject{{"42", 1795161600}}}}
}

// goodConfigs are accepted by parser and schema; want changes the defaults into what each means.
var goodConfigs = []struct {
	name, json string
	env        envMap
	want       func(*Config)
}{
	{"minimal", minimal, oneKey, func(*Config) {}},
	{"space around", "\n " + minimal + "\r\n\t", oneKey, func(*Config) {}},
	{"full", fullConfig, envMap{"CURFEW_KEY_2026_11": secretA, "DJANGO_SECRET_KEY": secretB}, fullMeans},
	{"empty objects and lists", withTop(`"cookie":{},"timeouts":{},"remember":{},"logout":{},"rules":[],"browser":{},"revoke":{"subjects":{}}`), oneKey, func(*Config) {}},
	{"inline secret", withKey(`"secret":"` + secretA + `"`), noKey, func(*Config) {}},
	{"raw secret of 32 bytes", withKey(`"secret":"zR7qLw0-nX4vTb9.kYc2mHs6pDf8gJaE"`), noKey, func(c *Config) { c.Keys[0].Secret = []byte("zR7qLw0-nX4vTb9.kYc2mHs6pDf8gJaE") }},
	{"raw secret beyond ASCII", withKey(`"secret":"áéíóúäöüñçàèìòùâ"`), noKey, func(c *Config) { c.Keys[0].Secret = []byte("áéíóúäöüñçàèìòùâ") }},
	{"two keys", withTwo(`"id":"a","secret_env":"K"`, `"id":"B_-9","secret_env":"_L2"`), envMap{"K": secretA, "_L2": "zR7qLw0-nX4vTb9.kYc2mHs6pDf8gJaE"}, func(c *Config) {
		c.Keys = append(c.Keys, cookie.Key{ID: "B_-9", Secret: []byte("zR7qLw0-nX4vTb9.kYc2mHs6pDf8gJaE")})
	}},
	{"times with an offset and a fraction", withKey(`"secret_env":"K","sign_from":"2026-11-01T02:30:00.5+02:30"`), oneKey, func(c *Config) { c.Keys[0].SignFrom = 1793491200 }},
	{"a leap day", withKey(`"secret_env":"K","sign_from":"2028-02-29T00:00:00Z"`), oneKey, func(c *Config) { c.Keys[0].SignFrom = 1835395200 }},
	{"a leap second", withKey(`"secret_env":"K","sign_from":"2026-10-31T23:59:60Z"`), oneKey, func(c *Config) { c.Keys[0].SignFrom = 1793491200 }},
	{"the leap day of a century", withTop(`"revoke":{"before":"2400-02-29T00:00:00Z"}`), oneKey, func(c *Config) { c.Revoke.Before = 13574563200 }},
	{"first good year", withTop(`"revoke":{"before":"1971-01-01T00:00:00+10:00"}`), oneKey, func(c *Config) { c.Revoke.Before = 31500000 }},
	{"durations in any order", withTimes(`"idle":"30s1h20m","absolute":"9600h","touch":"1s","rotate":"00001m","clock_skew":"0s"`), oneKey, func(c *Config) {
		c.Timeouts = Timeouts{Limits: Limits{4830, 9600 * 3600}, Touch: 1, Rotate: 60}
	}},
	{"longest skew", withTimes(`"clock_skew":"60m0s0h"`), oneKey, func(c *Config) { c.Timeouts.Skew = 3600 }},
	{"shortest timeouts", withTimes(`"idle":"2s","absolute":"2s","touch":"1s"`), oneKey, func(c *Config) { c.Timeouts.Limits, c.Timeouts.Touch = Limits{2, 2}, 1 }},
	{"idle exactly twice touch", withTimes(`"idle":"2m"`), oneKey, func(c *Config) { c.Timeouts.Idle = 120 }},
	{"remember", withTop(`"remember":{"idle":"24h","absolute":"9600h"}`), oneKey, func(c *Config) { c.Remember = Limits{86400, 9600 * 3600} }},
	{"sealed", withCookie(`"mode":"sealed"`), oneKey, func(c *Config) { c.Cookie.Sealed = true }},
	{"shared by subdomains", withCookie(`"name":"__Secure-s","domain":"shop.example","same_site":"Strict"`), oneKey, func(c *Config) {
		c.Cookie.Name, c.Cookie.Domain, c.Cookie.SameSite = "__Secure-s", "shop.example", "Strict"
	}},
	{"in frames", withCookie(`"same_site":"None","partitioned":true`), oneKey, func(c *Config) { c.Cookie.SameSite, c.Cookie.Partitioned = "None", true }},
	{"cookie of a folder", withTop(`"cookie":{"name":"__Secure-s","path":"/shop"},"rules":[{"path_prefix":"/shop"},{"path_prefix":"/","session":"optional"}]`), oneKey, func(c *Config) {
		c.Cookie.Name, c.Cookie.Path, c.Browser.Path = "__Secure-s", "/shop", "/shop/.session/"
		c.Rules = []Rule{{PathPrefix: "/shop"}, {PathPrefix: "/", Need: SessionOptional}}
	}},
	{"plain http", withInsecure(`"cookie":{"name":"session","secure":false},"logout":{"redirect":"http://localhost:8080/"}`), oneKey, func(c *Config) {
		c.AllowInsecure, c.Cookie.Name, c.Cookie.Secure, c.Logout.Redirect = true, "session", false, "http://localhost:8080/"
	}},
	{"login elsewhere", withLogin(`"url":"https://sso.example:8443/in?app=shop&u=//x/../y","start_on":[{"method":"GET","path":"/callback"},{"path":"/cb2"}]`), oneKey, func(c *Config) {
		c.Login.URL, c.Login.StartOn = "https://sso.example:8443/in?app=shop&u=//x/../y", []Route{{"GET", "/callback"}, {"POST", "/cb2"}}
	}},
	{"login with a query", withLogin(`"url":"/login?lang=en&u=https://a","return_param":"return-to","reason_param":"r.why"`), oneKey, func(c *Config) {
		c.Login.URL, c.Login.ReturnParam, c.Login.ReasonParam = "/login?lang=en&u=https://a", "return-to", "r.why"
	}},
	{"logout", withLogout(`"path":"/bye","redirect":"https://www.example/bye?x","methods":["GET","POST"]`), oneKey, func(c *Config) {
		c.Logout = LogoutRoute{"/bye", "https://www.example/bye?x", []string{"GET", "POST"}}
	}},
	{"open login page", withRule(`"path":"/login","session":"optional"`), oneKey, func(c *Config) { c.Rules = []Rule{{Path: "/login", Need: SessionOptional}} }},
	{"off for / on one host", withRule(`"path_prefix":"/","hosts":["www.shop.example"],"session":"off"`), oneKey, func(c *Config) {
		c.Rules = []Rule{{PathPrefix: "/", Hosts: []string{"www.shop.example"}, Need: SessionOff}}
	}},
	{"off for / by one method", withRule(`"path_prefix":"/","methods":["PROPFIND"],"session":"off","activity":"active"`), oneKey, func(c *Config) {
		c.Rules = []Rule{{PathPrefix: "/", Methods: []string{"PROPFIND"}, Need: SessionOff}}
	}},
	{"odd but plain paths", withTop(`"rules":[{"path":"/caf%C3%A9/.well-known/...a/a..b"},{"path":"/a:b@c,d=e&f+g'h(i)!$~"},{"path":"/%E0%A4%85/%F0%9F%8D%AA"}]`), oneKey, func(c *Config) {
		c.Rules = []Rule{{Path: "/caf%C3%A9/.well-known/...a/a..b"}, {Path: "/a:b@c,d=e&f+g'h(i)!$~"}, {Path: "/%E0%A4%85/%F0%9F%8D%AA"}}
	}},
	{"conditions", withRule(`"path":"/a","when":{"data.a.b_c":["x",1.5,false],"data.0":[-1]}`), oneKey, func(c *Config) {
		c.Rules = []Rule{{Path: "/a", When: []Condition{{"a.b_c", []string{`"x"`, "1.5", "false"}}, {"0", []string{"-1"}}}}}
	}},
	{"CF-370 one header both ways", withHeader(`"x-session":"@this","x-user_name":"data.user.name","x-idle":"idle_in"`), oneKey, func(c *Config) {
		c.HeaderMap = []Header{{Name: "x-session", Path: "@this"}, {Name: "x-user_name", Path: "data.user.name"}, {Name: "x-idle", Path: "idle_in"}}
	}},
	{"no headers", withTop(`"headers":{}`), oneKey, func(c *Config) { c.HeaderMap = nil }},
	{"browser", withTop(`"browser":{"path":"/a/b/"}`), oneKey, func(c *Config) { c.Browser.Path = "/a/b/" }},
	{"browser, all of it", withTop(`"browser":{"subject":true,"warn":"20s","refresh":true,"headers":true}`), oneKey, func(c *Config) {
		c.Browser = Browser{Path: "/.session/", Subject: true, Warn: 20, Refresh: true, Headers: true}
	}},
	{"streams that idle", withTop(`"streams":{"idle":"ignore"}`), oneKey, func(c *Config) { c.Streams.IgnoreIdle = true }},
	{"streams that are active", withTop(`"streams":{"idle":"close","activity":true}`), oneKey, func(c *Config) { c.Streams.Activity = true }},
	{"feed", withFeed(""), oneKey, func(c *Config) {
		c.Revoke.Feed = Feed{Cluster: "app", Path: "/revoked", Authority: "app", Interval: 10, StaleAfter: 300}
	}},
	{"feed, all of it", withFeed(`,"authority":"app.internal:8080","interval":"1h","secret":"sixteen-letters!","on_stale":"deny","stale_after":"2h"`), oneKey, func(c *Config) {
		c.Revoke.Feed = Feed{Cluster: "app", Path: "/revoked", Authority: "app.internal:8080", Token: "sixteen-letters!", Interval: 3600, Deny: true, StaleAfter: 7200}
	}},
	{"feed with a query and a variable", withTop(`"revoke":{"feed":{"cluster":"outbound|80||app.svc","path":"/?a=b%20c","interval":"1s","stale_after":"2s","secret_env":"LONG"}}`), envMap{"K": secretA, "LONG": strings.Repeat("x", 512)}, func(c *Config) {
		c.Revoke.Feed = Feed{Cluster: "outbound|80||app.svc", Path: "/?a=b%20c", Authority: "app.svc", Token: strings.Repeat("x", 512), Interval: 1, StaleAfter: 2}
	}},
	{"revoke one", withTop(`"revoke":{"subjects":{"zoë o'hara":"2026-11-20T08:00:00Z"}}`), oneKey, func(c *Config) { c.Revoke.Subjects = []RevokedSubject{{"zoë o'hara", 1795161600}} }},
	{"audience", withTop(`"audience":"a b ~ \"c\""`), oneKey, func(c *Config) { c.Audience = `a b ~ "c"` }},
	{"switches", withTop(`"report_only":true,"bypass_cors_preflight":false`), oneKey, func(c *Config) { c.ReportOnly, c.BypassPreflight = true, false }},
	{"switches of sessions", withTop(`"anonymous":true,"log_subject":true,"report_only":true`), oneKey, func(c *Config) { c.Anonymous, c.LogSubject, c.ReportOnly = true, true, true }},
	{"revision", withHeader(`"x-revision":"revision"`), oneKey, func(c *Config) { c.HeaderMap = []Header{{Name: "x-revision", Path: "revision"}} }},
	{"wrap: without remember the timeouts are the common ones", withWrap(`["PHPSESSID","__Host-app","_a-b!"]`), oneKey, func(c *Config) {
		c.Cookie.Sealed, c.Wrap, c.Remember = true, []string{"PHPSESSID", "__Host-app", "_a-b!"}, c.Timeouts.Limits
	}},
	{"wrap: without remember, other timeouts", withWrap(`["a"],"timeouts":{"idle":"5m","absolute":"1h"},"report_only":false`), oneKey, func(c *Config) {
		c.Cookie.Sealed, c.Wrap, c.Timeouts.Limits, c.Remember = true, []string{"a"}, Limits{300, 3600}, Limits{300, 3600}
	}},
	{"wrap: with remember, if only by name", withWrap(`["` + strings.Repeat("n", 64) + `"],"remember":{}`), oneKey, func(c *Config) {
		c.Cookie.Sealed, c.Wrap = true, []string{strings.Repeat("n", 64)}
	}},
	{"wrap: 16, one with a $ inside, beside anonymous", withWrap(`["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","!$p"],"remember":{},"anonymous":true`), oneKey, func(c *Config) {
		c.Cookie.Sealed, c.Anonymous, c.Wrap = true, true, append(strings.Split("abcdefghijklmno", ""), "!$p")
	}},
	{"anonymous on a shared cookie", withTop(`"cookie":{"name":"__Secure-s","path":"/","domain":"shop.example"},"anonymous":true`), oneKey, func(c *Config) {
		c.Anonymous, c.Cookie.Name, c.Cookie.Domain = true, "__Secure-s", "shop.example"
	}},
	{"wrap: messages, where nobody else sets them", withWrap(`["messages"],"remember":{"idle":"1h"}`), oneKey, func(c *Config) {
		c.Cookie.Sealed, c.Wrap, c.Remember.Idle = true, []string{"messages"}, 3600
	}},
	{"django_messages", withDjango(`"secret_env":"D","text":"é"`), envMap{"K": secretA, "D": "django-insecure-8f2k!q0z7wd4@xv1mtp9#r6b"}, func(*Config) {}},
	{"django_messages, inline, beside wrap", withWrap(`["sessionid"],"remember":{},"django_messages":{"secret":"` + secretB + `","text":"` + strings.Repeat("é", 128) + `"}`), oneKey, func(c *Config) {
		c.Cookie.Sealed, c.Wrap = true, []string{"sessionid"}
	}},
	{"1 MiB to the byte", minimal + strings.Repeat(" ", maxConfig-len(minimal)), oneKey, func(*Config) {}},
}

var compareConfigs = cmp.Options{cmpopts.IgnoreUnexported(Config{}, LoginRoutes{}), cmpopts.EquateEmpty()}

func TestParseAccepts(t *testing.T) {
	for _, c := range goodConfigs {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(c.json, c.env.get)
			if err != nil {
				t.Fatal(err)
			}
			want := defaultConfig()
			c.want(want)
			if diff := cmp.Diff(want, got, compareConfigs); diff != "" {
				t.Error(diff)
			}
			if err := schemaCheck(t, c.json); err != nil {
				t.Errorf("the schema refuses it: %v", err)
			}
		})
	}
}

// FuzzParse: whatever the text, the parser ends without a panic; its error names field and rule and
// repeats no secret; and what it accepts the schema accepts.
func FuzzParse(f *testing.F) {
	for _, c := range badConfigs {
		if len(c.json) < 10_000 {
			f.Add(c.json)
		}
	}
	for _, c := range goodConfigs {
		if len(c.json) < 10_000 {
			f.Add(c.json)
		}
	}
	env := func(name string) string { return madeSecret("fuzz " + name) }
	f.Fuzz(func(t *testing.T, text string) {
		_, err := Parse(text, env)
		if err == nil {
			if err := schemaCheck(t, text); err != nil {
				t.Errorf("parser accepts, schema refuses: %v", err)
			}
			return
		}
		var e *ConfigError
		if !errors.As(err, &e) || e.Field == "" || e.Rule == "" {
			t.Fatalf("got %#v; want a *ConfigError with field and rule", err)
		}
		if strings.ContainsFunc(err.Error(), unicode.IsControl) {
			t.Errorf("more than one line: %q", err)
		}
		for _, s := range inlineSecrets(text) {
			if strings.Contains(err.Error(), s) {
				t.Errorf("the error repeats a secret: %s", err)
			}
		}
	})
}
