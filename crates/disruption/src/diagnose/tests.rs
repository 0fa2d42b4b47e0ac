mod cases;
mod garbage;
mod stalls;
