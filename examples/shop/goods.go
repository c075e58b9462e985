package main

import "fmt"

// product is something for sale; Price is in cents. Its picture is a symbol in static/goods.svg.
type product struct {
	ID, Name, Text string
	Price          int
}

func (p product) String() string { return p.Name }

// goods is the catalogue, in the order shown.
func goods() []product {
	return []product{
		{"mug", "Mug", "Thick stoneware that keeps the second half of the tea warm, too.", 1450},
		{"teapot", "Teapot", "Holds four cups and pours without a drip.", 3900},
		{"kettle", "Kettle", "Steel, for every stove. It whistles in thirds.", 5600},
		{"tin", "Tea tin", "Closes tight. Room for a hundred grams of leaves.", 990},
		{"spoon", "Measuring spoon", "One level spoon, one cup.", 650},
		{"cosy", "Tea cosy", "Wool felt, lined with linen. The teapot's winter coat.", 2275},
	}
}

// find looks a product up by its id.
func find(id string) (product, bool) {
	for _, p := range goods() {
		if p.ID == id {
			return p, true
		}
	}
	return product{}, false
}

// named are the goods with these ids, in this order. An id that the catalogue has no longer is left out: a
// session may be older than the catalogue.
func named(ids []string) (found []product) {
	for _, id := range ids {
		if p, ok := find(id); ok {
			found = append(found, p)
		}
	}
	return found
}

// cart says how many of which product, by id.
type cart map[string]int

// line is one product in a cart.
type line struct {
	product
	Quantity int
}

// Sum is the line's price in cents.
func (l line) Sum() int { return l.Price * l.Quantity }

// Lines are the cart's contents in the catalogue's order.
func (c cart) Lines() (lines []line) {
	for _, p := range goods() {
		if n := c[p.ID]; n > 0 {
			lines = append(lines, line{p, n})
		}
	}
	return lines
}

// Count is how many pieces there are.
func (c cart) Count() (n int) {
	for _, l := range c.Lines() {
		n += l.Quantity
	}
	return n
}

// Total is what they cost, in cents.
func (c cart) Total() (sum int) {
	for _, l := range c.Lines() {
		sum += l.Sum()
	}
	return sum
}

// euros writes cents as a price.
func euros(cents int) string { return fmt.Sprintf("€ %d.%02d", cents/100, cents%100) }
