/* Takes an image of 784 bytes over the serial line, row by row, ink 255 on background 0, and answers with a line: the
   label, and the logits in thousandths. See README.md. */
#include "lstm_20_int8.h"

/* The first UART of the MPS2 board (CMSDK); another board has its own registers for the same two functions. */
#define UART ((volatile uint32_t *)0x40004000u)
enum { DATA = 0, STATE = 1, CONTROL = 2, DIVIDER = 4, FULL = 1, RECEIVED = 2 };

static uint8_t receive(void)
{
    while (!(UART[STATE] & RECEIVED))
        ;
    return (uint8_t)UART[DATA];
}

static void send(char letter)
{
    while (UART[STATE] & FULL)
        ;
    UART[DATA] = (uint8_t)letter;
}

static void send_text(const char *text)
{
    while (*text)
        send(*text++);
}

static void send_number(int32_t number)
{
    char digits[12];
    int count = 0;
    uint32_t left = number < 0 ? 0u - (uint32_t)number : (uint32_t)number;
    do
        digits[count++] = (char)('0' + left % 10);
    while (left /= 10);
    if (number < 0)
        send('-');
    while (count)
        send(digits[--count]);
}

int main(void)
{
    uint8_t image[784];
    float logits[LSTM_20_INT8_CLASSES];
    UART[DIVIDER] = 25000000u / 115200u; /* the board's clock by the speed of the line */
    UART[CONTROL] = 3;                   /* send and receive */
    for (;;) {
        int best = 0, k;
        for (k = 0; k < 784; ++k)
            image[k] = receive();
        lstm_20_int8_logits(image, logits);
        for (k = 1; k < LSTM_20_INT8_CLASSES; ++k)
            if (logits[k] > logits[best])
                best = k;
        send_text(lstm_20_int8_labels[best]);
        for (k = 0; k < LSTM_20_INT8_CLASSES; ++k) {
            send(' ');
            send_number((int32_t)(logits[k] * 1000.0f));
        }
        send('\n');
    }
}
