package cookie

import "testing"

func TestSetCookie(t *testing.T) {
	plain := Attributes{Path: "/app", SameSite: "Lax"}
	secure := Attributes{Path: "/", SameSite: "Lax", Secure: true}
	domain := Attributes{Path: "/", Domain: "shop.example", SameSite: "Strict", Secure: true}
	partitioned := Attributes{Path: "/", SameSite: "None", Secure: true, Partitioned: true}
	cases := []struct {
		name, got, want string
	}{
		{"plain", plain.Set("s", "v", 60), "s=v; Max-Age=60; Path=/app; HttpOnly; SameSite=Lax"},
		{"plain, session only", plain.Set("s", "v", SessionOnly), "s=v; Path=/app; HttpOnly; SameSite=Lax"},
		{"plain, age 0", plain.Set("s", "v", 0), "s=v; Max-Age=0; Path=/app; HttpOnly; SameSite=Lax"},
		{"__Secure-", domain.Set("__Secure-s", "v", 60), "__Secure-s=v; Max-Age=60; Path=/; Domain=shop.example; HttpOnly; Secure; SameSite=Strict"},
		{"__Host-", secure.Set("__Host-s", "v", 34560000), "__Host-s=v; Max-Age=34560000; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"__Host-, session only", secure.Set("__Host-s", "v", SessionOnly), "__Host-s=v; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"partitioned", partitioned.Set("__Host-s", "v", 1), "__Host-s=v; Max-Age=1; Path=/; HttpOnly; Secure; SameSite=None; Partitioned"},
		{"delete plain", plain.Delete("s"), "s=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/app; HttpOnly; SameSite=Lax"},
		{"delete __Secure-", domain.Delete("__Secure-s"), "__Secure-s=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Domain=shop.example; HttpOnly; Secure; SameSite=Strict"},
		{"delete __Host-", secure.Delete("__Host-s"), "__Host-s=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"delete partitioned", partitioned.Delete("__Host-s"), "__Host-s=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; Secure; SameSite=None; Partitioned"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if tc.got != tc.want {
				t.Errorf("\n got %s\nwant %s", tc.got, tc.want)
			}
		})
	}
}
